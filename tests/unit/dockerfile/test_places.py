"""Where errors point: the column of the word at fault, not of the same letters elsewhere."""

from __future__ import annotations

import pytest

from builder.dockerfile.parser import parse
from builder.errors import DockerfileError


@pytest.mark.parametrize(
    ("line", "at_fault"),
    [
        ("ENV abc=1 ^c", "c"),
        ("env e=1 ^v", "v"),
        ("FROM --platform=bb a ^b c", "b"),
        ("LABEL x=1 ^LA", "LA"),
        ("HEALTHCHECK --timeout=5s ^--time=3 CMD x", "--time"),
        ("COPY --chown=from ^--from=$x a b", "--from"),
        ("^RUNN RUNNER", "RUNN"),
        ("RUN --mount=type=cache,target=/type,^typ=x true", "typ"),
    ],
)
def test_column(line: str, at_fault: str) -> None:
    """`^` marks the place."""
    with pytest.raises(DockerfileError) as raised:
        parse(f"FROM a\n{line.replace('^', '')}\n".encode(), "D")

    assert raised.value.span is not None
    assert raised.value.span[1:] == (2, 2, line.index("^") + 1), at_fault


@pytest.mark.parametrize("name", ["ſHELL", "WORKDıR"])
def test_names_of_instructions_are_ascii(name: str) -> None:
    """Letters whose upper case is ASCII do not make the name of an instruction."""
    with pytest.raises(DockerfileError, match="unknown instruction"):
        parse(f'FROM a\n{name} ["a"]\n'.encode(), "D")
