"""The console script. Until the command line is there to catch it, ctrl-C just ends the process: no traceback."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # importing `signal` makes enums, which takes a while
import sys


def entry() -> None:
    before = _signal.getsignal(_signal.SIGINT)
    if before is _signal.default_int_handler:  # ignored stays ignored
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    from builder.cli.main import main

    _signal.signal(_signal.SIGINT, before)
    sys.exit(main())
