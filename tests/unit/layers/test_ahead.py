"""One step of a pipeline in a thread: what it gives, what it raises, and that it ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from builder.layers.ahead import Ahead


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "layer"]


def test_pieces_come_in_order_and_as_small_as_asked_for() -> None:
    with Ahead(iter([b"abc", b"", b"defgh", b"i"])) as ahead:
        assert [ahead.read(2), ahead.read(2), ahead.read(0), ahead.read(4), ahead.read(), ahead.read(9)] == [
            *(b"ab", b"c", b"", b"defg", b"h", b"i")
        ]
        assert ahead.read() == ahead.read() == b""
    assert threads() == []


def test_an_error_comes_after_what_came_before_it() -> None:
    wrong = ValueError("wrong")

    def pieces() -> Iterator[bytes]:
        yield b"a"
        raise wrong

    with Ahead(pieces()) as ahead:
        assert ahead.read() == b"a"
        for _ in range(2):
            with pytest.raises(ValueError, match="wrong") as caught:
                ahead.read()
            assert ahead.failed_with(caught.value)
    assert not ahead.failed_with(ValueError("wrong"))


def test_it_works_ahead_but_not_far() -> None:
    made: list[int] = []
    enough = threading.Event()

    def pieces() -> Iterator[bytes]:
        for number in range(100):
            made.append(number)
            if number == 2:
                enough.set()
            yield b"x"

    with Ahead(pieces()):
        assert enough.wait(20)
    assert len(made) == 3  # two wait, and one is offered
    assert threads() == []


def test_who_waits_when_it_is_closed_finds_the_end() -> None:
    go = threading.Event()

    def slow() -> Iterator[bytes]:
        go.wait(20)
        yield b"late"

    ends: list[bytes] = []
    with Ahead(slow()) as ahead:
        reader = threading.Thread(target=lambda: ends.append(ahead.read()))
        reader.start()
        threading.Timer(0.05, go.set).start()
    reader.join(20)
    assert ends == [b""]
    assert threads() == []
