"""Errors as text. The golden files are what a user reads."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from builder.cli.errors import excerpt, render
from builder.errors import BuildError, DockerfileError, Span, StepFailed, of_system
from tests.support import golden

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = """\
FROM golang:1.21-alpine AS base
WORKDIR /src
COPY go.mod go.sum .

FROM base AS build-client
COPY . .
RUN go build \\
    -o /bin/client \\
    ./cmd/client

FROM scratch
RNU x
"""
CASES = {
    "excerpt": DockerfileError("unknown instruction: RNU", span=Span("Dockerfile", 12, 12), hint="did you mean RUN?"),
    "column": DockerfileError("bad variable name", span=Span("Dockerfile", 1, 1, 6)),
    "several-lines": DockerfileError("not supported yet", span=Span("Dockerfile", 7, 9)),
    "several-faults": BuildError("two images are missing:\na\nb\x1b[2J"),
    "no-file": DockerfileError("odd", span=Span("nowhere", 3, 3), hint="look"),
    "beyond-the-end": DockerfileError("unexpected end", span=Span("Dockerfile", 40, 41)),
    "step-failed": StepFailed(
        "RUN go build failed with exit code 2",
        step="[build-client 2/2] RUN go build -o /bin/client ./cmd/client",
        stage="build-client",
        exit_code=2,
        tail=("# buildme/cmd/client", "cmd/client/main.go:9:2: undefined: \x1b[31mx\x1b[0m"),
        span=Span("Dockerfile", 7, 9),
        hint="RUN has no network: --network none",
    ),
    "step-failed-silently": StepFailed("it failed", step="exporting", stage="", exit_code=137, tail=()),
}


@pytest.mark.parametrize("name", CASES)
def test_rendering(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Dockerfile").write_text(SOURCE)

    golden.check(f"cli/{name}.txt", render(CASES[name]))


def test_a_file_named_relative_to_the_context_is_found(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(SOURCE)

    assert list(excerpt(Span("Dockerfile", 12, 12), str(tmp_path)))[-1] == " >>> 12 | RNU x"


def test_a_long_instruction_is_cut() -> None:
    """A heredoc of a thousand lines is not an excerpt."""
    span = Span(__file__, 3, 60)

    assert len(list(excerpt(span))) <= 16


@pytest.mark.parametrize("content", [b"\xef\xbb\xbfFROM x\r\nRUN \xff\r\n", b"", b"\n"])
def test_odd_files_do_not_break_the_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "D").write_bytes(content)

    assert "error: " in render(DockerfileError("m", span=Span(str(tmp_path / "D"), 1, 1)))


def test_a_pipe_is_not_read_again(tmp_path: Path) -> None:
    """`-f <(generate)` has been read to its end; opening it once more would hang."""
    os.mkfifo(tmp_path / "pipe")

    assert list(excerpt(Span(str(tmp_path / "pipe"), 1, 1))) == []


def test_colour_is_on_the_word_error_only() -> None:
    assert render(BuildError("m"), colour=True) == "\x1b[1;31merror:\x1b[0m m\n"


def test_refusals_of_the_system() -> None:
    assert of_system(OSError(2, "No such file", "a", None, "b")).message == "a -> b: No such file"
    assert of_system(OSError("odd")).message == "odd"
    assert of_system(OSError(5, "I/O error", 7)).message == "I/O error"
