"""Records of trees as text."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.layers.tree import Meta, encode_journal, parse_meta, read_journal, write_journal


def test_meta_is_its_text() -> None:
    """mode uid gid major:minor, mode octal with type bits."""
    assert Meta(0o20666, 1, 2, 1, 3).encode() == b"20666 1 2 1:3"
    assert parse_meta(b"20666 1 2 1:3") == Meta(0o20666, 1, 2, 1, 3)


@pytest.mark.parametrize("text", [b"", b"1 2 3", b"8 0 0 0:0", b"1 2 3 4", b"1 2 3 4:5 6"])
def test_other_text_is_none(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"value|invalid|unpack"):
        parse_meta(text)


def test_a_journal_is_sorted_by_path_bytes() -> None:
    """So that C finds a path by halving."""
    records = {b"b": Meta(0o120777, 1, 1), b"\xff": Meta(0o10600, 2, 2), b"a/b": Meta(0o120777, 3, 3)}

    assert encode_journal(records) == b"a/b\x00120777 3 3 0:0\0b\x00120777 1 1 0:0\0\xff\x0010600 2 2 0:0\0"


def test_journals_are_replaced_and_removed(tmp_path: Path) -> None:
    """No records, no file."""
    records = {b"l": Meta(0o120777, 1, 1)}

    write_journal(str(tmp_path), records)
    assert read_journal(str(tmp_path)) == records
    write_journal(str(tmp_path), {})

    assert list(tmp_path.iterdir()) == []
    assert read_journal(str(tmp_path)) == {}
