"""White space, as the language of the reference implementation defines it.

Python's own idea (`str.strip()`, `\\s`) also holds U+001C to U+001F, which are ordinary characters of a
Dockerfile. Words, lines and edges are trimmed with BLANKS; arguments are separated by SEPARATOR.
"""

from __future__ import annotations

import re

BLANKS = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
SEPARATOR = re.compile(r"[\t\v\f\r ]+")
BLANK_RUN = re.compile(f"[{BLANKS}]+")
