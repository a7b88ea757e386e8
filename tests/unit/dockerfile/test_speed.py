"""Parsing and planning are linear, and light to import."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time

import pytest

from builder.dockerfile.parser import parse
from builder.errors import DockerfileError
from tests.unit.dockerfile.test_plans import planned

BLOCK = "RUN echo {0} \\\n  && true\nENV A{0}=b C='d e'\nCOPY --chown=1:2 a{0} b /c/\nRUN cat <<E{0}\nx\nE{0}\n"


def seconds(source: str) -> float:
    begin = time.process_time()
    parse(source.encode(), "D")
    return time.process_time() - begin


def test_ten_thousand_instructions() -> None:
    """About a quarter of a second on one core; the limit leaves room for slow machines."""
    source = "FROM scratch\n" + "".join(BLOCK.format(number) for number in range(2500))

    assert seconds(source) < 2


@pytest.mark.parametrize("line", ["ENV A{0}=b", "ARG A{0}=b", "EXPOSE {0}", "VOLUME /{0}", "COPY a{0} /b/", "RUN {0}"])
def test_planning_is_linear(line: str) -> None:
    """Ten times the instructions take about ten times the time, not a hundred."""
    small, large = (planning(line, count) for count in (1_000, 10_000))

    assert large < 30 * small + 0.5


def planning(line: str, count: int) -> float:
    source = "FROM scratch\n" + "".join(line.format(number) + "\n" for number in range(1, count + 1))
    begin = time.process_time()
    planned(source)
    return time.process_time() - begin


@pytest.mark.parametrize(
    ("begin", "unit", "end"),
    [
        ("RUN ", "a \\\n", "b"),
        ("RUN ", "--mount=target=/x \\\n", "b"),
        ("RUN ", "\\\n# comment\n", "b"),
        ("ENV ", "a=b \\\n", "c=d"),
        ("ENV ", "a='b\\\n", "'"),
        ("RUN <<E cat\n", "line\n", "E\n"),
        ("RUN ", "<<A\\\n", ""),
        ("", "# comment\n", "RUN x"),
    ],
)
def test_long_instructions_are_linear(begin: str, unit: str, end: str) -> None:
    """Ten times the lines take about ten times the time, not a hundred."""
    small, large = (seconds(f"FROM a\n{begin}{unit * count}{end}") for count in (3_000, 30_000))

    assert large < 40 * small + 0.5


@pytest.mark.parametrize("line", ["RUN <<{}<", "RUN <<a{}<", "ENV a=b {}", "RUN --mount={}", "CMD {}["])
@pytest.mark.parametrize("unit", [" ", "-", "'", '"', "<", "[", "\\ ", "$", "${"])
def test_long_lines_are_fast(line: str, unit: str) -> None:
    """The longest line that may be, whatever it repeats, is read (or refused) at once."""
    begin = time.process_time()
    with contextlib.suppress(DockerfileError):
        parse(b"FROM a\n" + line.format(unit * (60_000 // len(unit))).encode(), "D")

    assert time.process_time() - begin < 2


def test_light_imports() -> None:
    """The cached path of a build reads a Dockerfile: what reading imports, every build pays."""
    code = "import sys; import builder.dockerfile.parser, builder.dockerfile.ignore; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True).stdout

    assert not {"json", "difflib", "dataclasses", "inspect", "tempfile", "pathlib", "urllib.parse"} & {*loaded.split()}
