"""Builds whose n-th call to the kernel fails. A program, run with inject.so preloaded:

    injected.py DIRECTORY COMPRESSION FAULT N…        one line of JSON for each N: what the build said, and how it left
                                                      the store; FAULT is an errno, -1 (kill -9) or -2 (half a transfer)
    injected.py DIRECTORY COMPRESSION 0               how many calls the build makes

DIRECTORY holds `context`, and `store`, a store with the base image `base` that every build gets a copy of.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
import signal
import sys
import traceback
from typing import Any

from builder.building import build
from builder.errors import BuildError
from builder.request import BuildRequest
from tests.support.forked import forked

_INJECT = ctypes.CDLL(None)
_INJECT.inject_struck.restype = ctypes.c_char_p
_INJECT.inject_count.restype = ctypes.c_long


def digest_of(place: str, compression: Any) -> str:
    request = BuildRequest(f"{place}/context", store=f"{place}/now", compression=compression, tags=("made",))
    return build(request).digest


def attempt(place: str, compression: str, at: int, fault: int) -> dict[str, Any]:
    """One build with a fault, in this process."""
    _INJECT.inject_arm(ctypes.c_long(at), fault)
    try:
        answer: dict[str, Any] = {"digest": digest_of(place, compression)}
    except BuildError as error:
        answer = {"error": str(error), "hint": error.hint, "kind": type(error).__name__}
    except Exception as error:  # noqa: BLE001 (told to the test)
        answer = {"bug": "".join(traceback.format_exception(error))}
    calls = _INJECT.inject_count()
    struck = (_INJECT.inject_struck() or b"").decode()
    _INJECT.inject_arm(ctypes.c_long(0), 0)
    return {**answer, "calls": calls, "call": struck}


def hurt(store: str) -> list[str]:
    """What is in the store and is not whole, or should be gone."""
    blobs = f"{store}/blobs/sha256"
    wrong = []
    for name in os.listdir(blobs):
        with open(f"{blobs}/{name}", "rb") as file:
            if hashlib.sha256(file.read()).hexdigest() != name:
                wrong.append(f"blob {name}")
    return wrong


def left(store: str) -> list[str]:
    return [
        f"tmp/{owner}/{name}" for owner in os.listdir(f"{store}/tmp") for name in os.listdir(f"{store}/tmp/{owner}")
    ]


def trees(store: str) -> str:
    """All unpacked layers and snapshots, as one digest."""
    lines = []
    for top in ("layers", "snapshots"):
        for directory, _, names in os.walk(f"{store}/{top}"):
            for name in names:
                path = f"{directory}/{name}"
                kind = os.lstat(path).st_mode
                content = os.readlink(path) if os.path.islink(path) else ""
                if os.path.isfile(path) and not content:
                    with open(path, "rb") as file:
                        content = hashlib.sha256(file.read()).hexdigest()
                lines.append(f"{path.removeprefix(store)} {kind:o} {content}")
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def again(place: str, compression: str) -> dict[str, Any]:
    """The next build, which nothing disturbs."""
    digest = digest_of(place, compression)
    return {"again": digest, "left": left(f"{place}/now"), "trees": trees(f"{place}/now")}


def story(place: str, compression: str, at: int, fault: int) -> dict[str, Any]:
    shutil.rmtree(f"{place}/now", ignore_errors=True)
    shutil.copytree(f"{place}/store", f"{place}/now", symlinks=True)
    try:
        first = forked(lambda: attempt(place, compression, at, fault))
    except AssertionError:  # "the forked child died"
        first = {"died": True}
    wrong = hurt(f"{place}/now")
    return {"at": at, **first, "hurt": wrong, **forked(lambda: again(place, compression))}


def main(place: str, compression: str, fault: str, *numbers: str) -> None:
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    warm = story(place, compression, 0, 0)  # what is imported late is imported before the forks
    forked(lambda: None)
    shutil.rmtree(f"{place}/now")
    shutil.copytree(f"{place}/store", f"{place}/now", symlinks=True)
    digest_of(place, compression)
    print(json.dumps(warm), flush=True)
    for number in numbers:
        print(json.dumps(story(place, compression, int(number), int(fault))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
