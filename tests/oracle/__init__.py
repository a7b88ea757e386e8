"""Plain Python twins of the C layer functions: slow, for trusted input, and easy to check against the contract."""
