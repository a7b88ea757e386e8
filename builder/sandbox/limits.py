"""What this process may use: as much as it is allowed to ask for."""

from __future__ import annotations


def raise_open_files() -> None:
    """Take the hard limit of open files. Every layer of every step that runs is an open directory.

    The soft limit is low for the sake of programs that use select(2); we do not, and a step gets limits
    of its own.
    """
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
