"""Writes what fuzzing begins with: the hostile corpus, and pairs of archives as a lower and an upper layer."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from tests.hostile.corpus import corpus
from tests.support import tars

_LARGEST = 8192  # what the fuzzer changes; the rest of the corpus is for tests
_BELOW = tars.archive(
    tars.directory(b"d/", mode=0o711, uid=7),
    tars.file(b"d/kept", b"1"),
    tars.file(b"d/changed", b"2"),
    tars.directory(b"e/"),
    tars.file(b"e/f", b"3" * 600),
    tars.hardlink(b"g", b"e/f"),
    tars.symlink(b"s", b"d", uid=9),
    tars.pax({b"SCHILY.xattr.user.a": b"b"}) + tars.file(b"x"),
    tars.header(b"n", kind=b"6"),
    tars.header(b"c", kind=b"3", device=(1, 3)),
)
_ABOVE = {
    "whiteouts": (tars.file(b".wh.g"), tars.file(b"d/.wh.kept"), tars.file(b".wh.nothing")),
    "opaque": (tars.directory(b"d/"), tars.file(b"d/.wh..wh..opq"), tars.file(b"d/new", b"4")),
    "retyped": (tars.file(b"d"), tars.directory(b"s/"), tars.symlink(b"e", b"d"), tars.hardlink(b"n", b"s2")),
    "links": (tars.file(b"y", b"5"), tars.hardlink(b"e/z", b"y"), tars.hardlink(b"d/z", b"y")),
    "same": (tars.file(b"d/kept", b"1"), tars.directory(b"e/"), tars.symlink(b"s", b"d", uid=9)),
    "metadata": (
        tars.directory(b"d/", mode=0o1777, uid=8),
        tars.pax({b"SCHILY.xattr.user.a": b"c", b"mtime": b"1.5"}) + tars.file(b"x"),
    ),
}


def seeds() -> Iterator[tuple[str, bytes]]:
    for hostile in corpus():
        if len(hostile.tar) <= _LARGEST:
            yield hostile.name, hostile.tar
            yield f"{hostile.name}-above", _BELOW + hostile.tar
    for name, parts in _ABOVE.items():
        yield f"diff-{name}", _BELOW + tars.archive(*parts)


if __name__ == "__main__":
    for name, content in seeds():
        with open(os.path.join(sys.argv[1], name), "wb") as file:
            file.write(content)
