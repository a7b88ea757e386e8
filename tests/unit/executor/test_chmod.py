"""--chmod reads octal and symbolic modes as chmod(1) does."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from builder.errors import BuildError
from builder.executor.chmod import Mode
from tests.support.tools import need_tool

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [
        ("644", 0o777, 0o644),
        ("0", 0o777, 0),
        ("07777", 0, 0o7777),
        ("+x", 0o640, 0o751),
        ("a-x,u+w", 0o555, 0o644),
        ("u=rwX,go=rX", 0o600, 0o644),
        ("u=rwX,go=rX", 0o700, 0o755),
        ("g=u", 0o640, 0o660),
        ("o=g-w", 0o664, 0o664),
        ("ug+s,o+t", 0o755, 0o7755),
        ("u-s", 0o6755, 0o2755),
        ("=", 0o777, 0),
        ("u+x-w", 0o600, 0o500),
    ],
)
def test_modes_of_files(text: str, before: int, after: int) -> None:
    assert oct(Mode(text).apply(before, False)) == oct(after)


def test_capital_x_means_directories() -> None:
    assert Mode("a+X").apply(0o644, True) == 0o755
    assert Mode("a+X").apply(0o644, False) == 0o644


@pytest.mark.parametrize("text", ["", "64a", "8", "10000", "u", "u+y", "+x,", "u=gx", "x+r", "-1", "0o644", "u + x"])
def test_what_is_no_mode(text: str) -> None:
    with pytest.raises(BuildError, match="invalid chmod parameter"):
        Mode(text)


@pytest.mark.parametrize("text", ["u=rwX,go=rX", "a+X", "g=u,o=g", "ug+s", "o=t,g-r", "u=,g=s", "a=rx,u+w", "+t"])
@pytest.mark.parametrize("before", [0o644, 0o4711, 0o1777, 0o2750, 0])
@pytest.mark.parametrize("is_dir", [False, True])
def test_agrees_with_chmod(text: str, before: int, is_dir: bool, tmp_path: Path) -> None:
    """`a` stands where chmod(1) would ask the umask. GNU's spares set-id bits of directories."""
    before &= 0o1777 if is_dir else 0o7777
    path = tmp_path / "x"
    path.mkdir() if is_dir else path.touch()
    path.chmod(before)
    subprocess.run([need_tool("chmod"), f"a{text}" if text[0] in "+-=" else text, path], check=True)
    after = path.stat().st_mode & 0o7777
    path.chmod(0o700)

    assert oct(Mode(text).apply(before, is_dir)) == oct(after)
