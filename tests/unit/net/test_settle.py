"""What a look-up that was given up leaves behind."""

from __future__ import annotations

import socket
import threading
import time
from typing import NoReturn

import pytest

from builder.net import dial


class Nobody:
    def is_set(self) -> bool:
        return False


def test_a_look_up_that_hangs_is_left_behind_and_waited_for_before_a_namespace_is_entered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def hang(*words: object, **more: object) -> NoReturn:
        time.sleep(0.3)
        raise OSError("nobody answers")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    before = threading.active_count()
    with pytest.raises(TimeoutError):
        dial._look_up("far.example", 443, time.monotonic() + 0.05, Nobody())
    assert threading.active_count() == before + 1
    dial.settle(5, Nobody())
    assert threading.active_count() == before
