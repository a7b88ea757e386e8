"""`python -m builder` is `rbuild`."""

from builder.cli.entry import entry

entry()
