"""`--progress=rawjson` against a strict model of BuildKit's client.SolveStatus, and against its golden text."""

from __future__ import annotations

import io
import json
import re
from base64 import b64decode
from typing import Any

import pytest

from builder import events
from builder.errors import Span
from builder.progress.rawjson import RawJson
from tests.support import golden
from tests.support.sample_events import EVENTS

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,8}[1-9])?Z")


def digest(value: Any) -> bool:
    return bool(DIGEST.fullmatch(value))


def moment(value: Any) -> bool:
    return bool(TIME.fullmatch(value))


def text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def base64(value: Any) -> bool:
    return isinstance(b64decode(value, validate=True).decode(), str)


def true(value: Any) -> bool:
    return value is True


def number(value: Any) -> bool:
    return type(value) is int


def each(check: Any) -> Any:
    return lambda value: value != [] and all(check(one) for one in value)


def record(required: dict[str, Any], optional: dict[str, Any]) -> Any:
    """An object with all of `required` and nothing beyond `optional`; Go leaves zero values of the latter out."""
    return lambda value: (
        required.keys() <= value.keys() <= (required | optional).keys()
        and all((required | optional)[name](item) for name, item in value.items())
        and all(item for name, item in value.items() if name in optional)
    )


POSITION = record({"line": number}, {"character": number})
STATUS = record(
    {},
    {
        "vertexes": each(
            record(
                {"digest": digest, "name": text},
                {"inputs": each(digest), "started": moment, "completed": moment, "cached": true, "error": text},
            )
        ),
        "statuses": each(
            record(
                {"id": text, "current": number, "timestamp": moment, "vertex": digest},
                {"name": text, "total": number, "started": moment, "completed": moment},
            )
        ),
        "logs": each(record({"vertex": digest, "data": base64, "timestamp": moment}, {"stream": number})),
        "warnings": each(
            record(
                {"vertex": digest, "short": base64},
                {
                    "level": number,
                    "detail": each(base64),
                    "url": text,
                    "sourceInfo": record({"filename": text}, {"language": text}),
                    "range": each(record({"start": POSITION, "end": POSITION}, {})),
                },
            )
        ),
    },
)


def shown(*told: events.Event) -> list[dict[str, Any]]:
    stream = io.StringIO()
    show = RawJson(stream, wall=1_700_000_000.0)
    for event in told:
        show(event)
    show.close()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def vertexes(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [vertex for line in lines for vertex in line.get("vertexes", [])]


def test_every_line_is_a_solve_status() -> None:
    lines = shown(*EVENTS)

    assert [line for line in lines if not STATUS(line)] == []
    golden.check("progress/rawjson.jsonl", "".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize(
    "broken",
    [
        {"vertexes": []},
        {"other": 1},
        {"logs": [{"vertex": "sha256:" + "0" * 64, "data": "!", "timestamp": "2023-11-14T22:13:20Z"}]},
        {"vertexes": [{"digest": "sha256:" + "0" * 64, "name": "x", "started": "2023-11-14T22:13:20.10Z"}]},
        {"vertexes": [{"digest": "sha256:" + "0" * 64, "name": "x", "cached": False}]},
    ],
)
def test_the_model_is_strict(broken: dict[str, Any]) -> None:
    try:
        assert not STATUS(broken)
    except ValueError:
        pass


def test_everything_refers_to_a_vertex_that_was_told_before() -> None:
    known: set[str] = set()
    for line in shown(*EVENTS):
        known |= {vertex["digest"] for vertex in line.get("vertexes", [])}
        for kind in ("logs", "statuses", "warnings"):
            assert {entry["vertex"] for entry in line.get(kind, [])} <= known


def test_a_step_has_the_digest_and_the_inputs_of_its_op() -> None:
    base, copy = "sha256:" + "a" * 64, "sha256:" + "b" * 64
    cached, started, finished = vertexes(
        shown(
            events.StepCached(0.5, "#1", "s", "[s 1/2] FROM x", None, base),
            events.StepStarted(1.0, "#2", "s", "[s 2/2] RUN x", None, copy, (base,)),
            events.StepFinished(3.25, "#2", "s", "[s 2/2] RUN x", 2.25),
        )
    )

    moment = "2023-11-14T22:13:20.5Z"
    assert cached == {
        "digest": base,
        "name": "[s 1/2] FROM x",
        "started": moment,
        "completed": moment,
        "cached": True,
    }
    assert started == {
        "digest": copy,
        "inputs": [base],
        "name": "[s 2/2] RUN x",
        "started": "2023-11-14T22:13:21Z",
    }
    assert finished == started | {"completed": "2023-11-14T22:13:23.25Z"}


def test_failures_and_cancellations_carry_an_error() -> None:
    begin = [events.StepStarted(0.0, id, "s", "x", None) for id in "ab"]
    ended = vertexes(
        shown(
            *begin,
            events.StepFailed(1.0, "a", "s", "x", 1.0, "exit code 3"),
            events.StepCancelled(1.0, "b", "s", "x"),
        )
    )[2:]

    assert [vertex["error"] for vertex in ended] == ["exit code 3", "context canceled"]


def test_logs_are_whole_lines_of_bytes() -> None:
    lines = shown(events.StepStarted(0.0, "a", "s", "x", None), events.StepLog(0.0, "a", 2, "caf\u00e9"))

    assert b64decode(lines[1]["logs"][0]["data"]) == "caf\u00e9\n".encode()
    assert lines[1]["logs"][0]["stream"] == 2


def test_a_check_is_a_warning_with_its_place() -> None:
    warning = events.CheckWarning(0.0, "StageName", "names are lower case", "https://x", "name A", Span("D", 3, 4, 6))
    [line] = shown(warning)

    [told] = line["warnings"]
    assert STATUS(line)
    assert b64decode(told["short"]) == b"StageName: name A"
    assert [b64decode(text) for text in told["detail"]] == [b"names are lower case"]
    assert told["url"] == "https://x"
    assert told["sourceInfo"] == {"filename": "D", "language": "Dockerfile"}
    assert told["range"] == [{"start": {"line": 3, "character": 5}, "end": {"line": 4}}]
    assert told["vertex"] == line["vertexes"][0]["digest"]
