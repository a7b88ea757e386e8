"""Runs a function in a forked child and hands back its result or its exception.

Entering a user namespace cannot be undone, so a test does it in a child.
"""

from __future__ import annotations

import os
import pickle
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def forked(function: Callable[[], T]) -> T:
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        _answer(function, write)
    os.close(write)
    with open(read, "rb") as file:
        answer = file.read()
    os.waitpid(pid, 0)
    if not answer:
        raise AssertionError("the forked child died")
    failed, value = pickle.loads(answer)
    if failed:
        raise value
    return value


def _answer(function: Callable[[], Any], write: int) -> None:
    try:
        answer = (False, function())
    except BaseException as error:  # noqa: BLE001 (it is the answer)
        answer = (True, error)
    try:
        payload = pickle.dumps(answer)
    except Exception as error:  # noqa: BLE001
        payload = pickle.dumps((True, AssertionError(f"{answer!r} cannot be handed back: {error}")))
    with open(write, "wb") as file:
        file.write(payload)
    os._exit(0)
