"""Accounts come from the files of the image, which may be anything."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from builder.errors import BuildError
from builder.executor.accounts import Identity, identity, owner
from tests.support.views import make_tree, view_of

if TYPE_CHECKING:
    from pathlib import Path

    from builder.snapshots.view import View

USERS = r"root:x:0:0::/r:/sh\njoe:x:5:6::/home/joe:/sh\n7:x:70:71::/seven:/sh\nbad:x:y:1::/:/sh\nshort:x:1\n"
PASSWD = f'file etc/passwd 0644 "{USERS}"'
GROUP = r'file etc/group 0644 "wheel:x:10:joe,ann\nextra:x:11:joe\nbad:x::joe\n"'


@pytest.fixture
def view(tmp_path: Path) -> View:
    return view_of(make_tree(tmp_path / "t", f"{PASSWD}\n{GROUP}"))


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("", Identity(0, 0, (0,), "/r")),
        ("joe", Identity(5, 6, (6, 10, 11), "/home/joe")),
        ("5", Identity(5, 6, (6, 10, 11), "/home/joe")),
        ("joe:wheel", Identity(5, 10, (10,), "/home/joe")),
        ("joe:99", Identity(5, 99, (99,), "/home/joe")),
        ("7", Identity(70, 71, (71,), "/seven")),
        ("1234", Identity(1234, 0, (0,), "/")),
        ("1234:5", Identity(1234, 5, (5,), "/")),
        (":wheel", Identity(0, 10, (10,), "/r")),
    ],
)
def test_who_a_step_runs_as(view: View, spec: str, expected: Identity) -> None:
    assert identity(spec, view) == expected


@pytest.mark.parametrize("spec", ["ann", "joe:nogroup", "bad", "short", "4294967295", "joe:99999999999"])
def test_who_a_step_cannot_run_as(view: View, spec: str) -> None:
    with pytest.raises(BuildError):
        identity(spec, view)


def test_numbers_need_no_files(tmp_path: Path) -> None:
    view = view_of(make_tree(tmp_path / "t"))

    assert identity("7:8", view) == Identity(7, 8, (8,), "/")
    assert identity("", view) == Identity(0, 0, (0,), "/")
    assert owner("7", view) == (7, 7, None)
    assert owner("root:root", view) == (0, 0, None)


def test_owner_of_an_unknown_name_is_root_with_a_warning(view: View) -> None:
    uid, gid, warning = owner("ann:nogroup", view)

    assert (uid, gid) == (0, 0)
    assert warning is not None
    assert "'ann'" in warning
    assert "'nogroup'" in warning


def test_owner_of_a_name_without_files_is_an_error(tmp_path: Path) -> None:
    view = view_of(make_tree(tmp_path / "t"))

    for spec in ("joe", "1:wheel"):
        with pytest.raises(BuildError, match="has no /etc/"):
            owner(spec, view)


def test_a_link_out_of_the_root_stays_in_the_root(tmp_path: Path) -> None:
    """A host file must not decide who a step is (CVE-2019-15751 and kin)."""
    outside = tmp_path / "passwd"
    outside.write_text("joe:x:666:666::/:/sh\n")
    tree = make_tree(tmp_path / "t", f"link etc/passwd {outside}\nlink etc/group ../../../../../..{outside}")

    with pytest.raises(BuildError):
        identity("joe", view_of(tree))
    with pytest.raises(BuildError):
        identity("0:joe", view_of(tree))


def test_a_link_within_the_root_is_followed(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "t", r"link etc /real" + "\n" + r'file real/passwd 0644 "joe:x:5:6::/:/sh\n"')

    assert identity("joe", view_of(tree)).uid == 5


@pytest.mark.parametrize(
    "text", ["fifo etc/passwd 0644", "dir etc/passwd 0755", "link etc/passwd passwd", "link etc /etc"]
)
def test_what_is_no_file_is_not_opened(tmp_path: Path, text: str) -> None:
    """A FIFO would block for ever."""
    with pytest.raises(BuildError):
        identity("joe", view_of(make_tree(tmp_path / "t", text)))


def test_a_huge_file_is_read_to_a_limit(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "t", PASSWD)
    os.truncate(f"{tree}/diff/etc/passwd", 1 << 40)

    assert identity("joe", view_of(tree)).uid == 5
    with pytest.raises(BuildError):
        identity("nobody", view_of(tree))
