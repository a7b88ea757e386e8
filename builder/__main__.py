"""`python -m builder` is `rbuild`."""

from builder.cli.main import entry

entry()
