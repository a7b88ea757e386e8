"""The renderers that need no terminal: plain, json, quiet, and the wrapper that serialises them."""

from __future__ import annotations

import io
import json
import threading
from typing import get_args

import pytest

from builder import events
from builder.errors import BuildError, Span, StepFailed
from builder.progress import json_lines
from builder.progress.renderer import Serial, renderer, resolve
from tests.support import golden
from tests.support.fake_rooms import Stream
from tests.support.sample_events import EVENTS


def shown(mode: str, colour: bool = False) -> str:
    stream = io.StringIO()
    show = renderer(mode, stream, colour=colour)
    for event in EVENTS:
        show(event)
    show.close()
    show.close()
    return stream.getvalue()


def test_plain() -> None:
    """Every line names its stage and step, all output is there, no control character gets through."""
    text = shown("plain")

    golden.check("progress/plain.txt", text.replace("\udcff", "?"))
    assert "\x1b" not in text


def test_plain_with_colours_keeps_those_of_the_step() -> None:
    assert "\x1b[31mred\x1b[0m ^[[2J" in shown("plain", colour=True)


def test_json() -> None:
    """One object a line, in ASCII, readable by strict readers."""
    text = shown("json")

    golden.check("progress/events.jsonl", text)
    assert text.isascii()
    assert [json.loads(line)["event"] for line in text.splitlines()] == [type(event).__name__ for event in EVENTS]
    assert "\\udc" not in text


def test_json_fields_are_documented() -> None:
    """The table in the module's docstring is the contract: it names every event and its fields, in order."""
    table = {}
    for line in (json_lines.__doc__ or "").splitlines():
        name, _, rest = line.strip().partition(" ")
        table[name] = rest.strip().partition("   ")[0].split()

    for event in get_args(events.Event):
        assert table[event.__name__] == [field for field in event._fields if field != "time"]


def test_json_error_line() -> None:
    """A failed build ends with one line that a program can act on."""
    failed = StepFailed(
        "it failed",
        step="[a 1/1] RUN x",
        stage="a",
        exit_code=2,
        tail=("x\udcff",),
        span=Span("D", 1, 2),
        hint="h",
    )

    assert json.loads(json_lines.error_line(failed, 1)) == {
        "event": "Error",
        "message": "it failed",
        "hint": "h",
        "span": {"file": "D", "first": 1, "last": 2, "column": 0},
        "status": 1,
        "stage": "a",
        "step": "[a 1/1] RUN x",
        "exit_code": 2,
        "tail": ["x?"],
    }
    assert json.loads(json_lines.error_line(BuildError("m"), 1))["span"] is None


def test_quiet_shows_nothing() -> None:
    assert shown("quiet") == ""


def test_every_event_has_a_plain_sentence() -> None:
    from builder.progress.plain import _SENTENCES

    assert set(_SENTENCES) == set(get_args(events.Event))


@pytest.mark.parametrize(
    ("terminal", "term", "mode"),
    [(True, "xterm", "tty"), (True, "dumb", "plain"), (True, "", "plain"), (False, "xterm", "plain")],
)
def test_auto_is_tty_where_a_cursor_can_move(terminal: bool, term: str, mode: str) -> None:
    stream = Stream(terminal=terminal)

    assert resolve("auto", stream, term) == mode
    assert resolve("json", stream, term) == "json"


def test_lines_of_several_threads_do_not_mix() -> None:
    """Steps run at once; a line of one is never inside a line of another."""
    stream = io.StringIO()
    show = renderer("plain", stream)

    def work(number: int) -> None:
        for count in range(200):
            show(events.StepLog(0.0, str(number), 1, f"{number}-{count}"))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    expected = {f"[#{number}] 0.000 {number}-{count}" for number in range(8) for count in range(200)}
    assert sorted(stream.getvalue().splitlines()) == sorted(expected)


def test_a_reader_that_went_away_silences_the_renderer_and_spares_the_build() -> None:
    calls = []

    class Gone:
        def __call__(self, event: events.Event) -> None:
            calls.append(event)
            raise BrokenPipeError

        def close(self) -> None:
            raise BrokenPipeError

    show = Serial(Gone())
    show(EVENTS[0])
    show(EVENTS[1])
    show.close()

    assert len(calls) == 1
