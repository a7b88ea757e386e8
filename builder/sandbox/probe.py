"""Asks the kernel for a tier by really making a sandbox, in a forked child, and says what it refused.

The probe is the sandbox itself: the same mounts, namespaces and credentials as for a RUN, over no layers and
with a program that does not exist. When exec is the first thing that fails, all of it works.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NoReturn

from builder.errors import SandboxError
from builder.sandbox import userns
from builder.sandbox.process import Command, run
from builder.values import NamedTuple

if TYPE_CHECKING:
    from builder.sandbox.tiers import Tier


class _Never:
    def is_set(self) -> bool:
        return False


NEVER = _Never()


class Refusal(NamedTuple):
    """The first thing that the host refused on the way to a tier, and what to change."""

    message: str
    hint: str


def probe(tier: Tier, store: str | None = None) -> Refusal | None:
    """None when this host gives `tier`, with overlays in the file system of the directory `store`."""
    import shutil
    import tempfile

    directory = tempfile.mkdtemp(prefix=".probe-", dir=store)
    try:
        return _ask_in_child(tier, directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _ask_in_child(tier: Tier, directory: str) -> Refusal | None:
    """Only a child can try: a process that has entered a user namespace cannot come back."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        _answer(tier, directory, write)
    os.close(write)
    with open(read, "rb") as file:
        answer = file.read().decode("utf-8", "replace")
    _, status = os.waitpid(pid, 0)
    if not answer:
        return None if status == 0 else Refusal(f"tier {tier}: the probe died ({status})", "")
    message, _, hint = answer.partition("\0")
    return Refusal(message, hint)


def _answer(tier: Tier, directory: str, write: int) -> NoReturn:
    status = 1
    try:
        refusal = try_tier(tier, directory)
        if refusal:
            os.write(write, "\0".join(refusal).encode("utf-8", "replace"))
        status = 0
    finally:
        os._exit(status)


def try_tier(tier: Tier, directory: str) -> Refusal | None:
    """In the child: enter `tier` and make a sandbox below `directory`."""
    try:
        userns.enter(tier)
        code = run(_nothing(directory), lambda stream, line: None, NEVER)
    except SandboxError as error:
        return Refusal(error.message, error.hint or "")
    return None if code == 127 else Refusal(f"tier {tier}: the probe ended with {code}", "")


def _nothing(directory: str) -> Command:
    """A command over no layers whose program does not exist."""
    names = ("upper", "work", "scratch", "stubs")
    upper, work, scratch, stubs = (os.path.join(directory, name) for name in names)
    for path in (upper, work, scratch):
        os.mkdir(path)
    return Command(
        argv=("/nothing",),
        env=(),
        cwd="/",
        uid=0,
        gid=0,
        groups=(),
        network="host",
        hostname="probe",
        lowers=(),
        upper=upper,
        work=work,
        hosts="/etc/hosts",
        resolv_conf="/etc/resolv.conf",
        stubs=stubs,
        scratch=scratch,
    )
