"""A lock file ⇄ its value: what every source of a Dockerfile was when somebody last looked. Pure.

    # Anything after a # is kept: whole lines stay above the line that follows, others at its end.
    rbuild-lock 1
    platform linux/amd64

    image docker.io/library/golang:1.21 linux/amd64 sha256:…   manifest of that platform
    git https://example.org/r.git#v1 <40 hex digits>            commit
    url https://example.org/x.tgz sha256:…                      content

One source a line, sorted, single blanks: the same sources give the same bytes, and a change of one is a
diff of one line. `platform` lines say what the lock was made for.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from builder.dockerfile.faults import did_you_mean
from builder.dockerfile.gitref import redacted
from builder.errors import BuildError, LockError, Span
from builder.oci.digest import parse_digest
from builder.oci.platform import parse_platform
from builder.oci.reference import parse_reference
from builder.sources.pins import GIT, IMAGE, URL, spelled
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

HEADER, VERSION = "rbuild-lock", 1
PLATFORM = "platform"
KINDS = (PLATFORM, IMAGE, GIT, URL)

_WORDS = {
    PLATFORM: "OS/ARCH",
    IMAGE: "REFERENCE OS/ARCH sha256:…",
    GIT: "ADDRESS[#REF] COMMIT",
    URL: "ADDRESS sha256:…",
}
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}", re.ASCII)
_SHA256 = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_CONFLICT = ("<<<<<<<", "|||||||", "=======", ">>>>>>>")
_COMMENT = re.compile(r"(?:^|[ \t])#.*", re.DOTALL)


class Entry(NamedTuple):
    """One line. `platform` is that of an image, else ""; `value` is "" for a platform line.

    `above` are the comment lines before it, `beside` is the comment at its end; each starts with #. `line` is
    where it was read (0: nowhere).
    """

    kind: str
    name: str
    platform: str = ""
    value: str = ""
    above: tuple[str, ...] = ()
    beside: str = ""
    line: int = 0

    @property
    def key(self) -> tuple[str, str, str]:
        return self.kind, self.name, self.platform

    @property
    def source(self) -> str:
        """Without the value: what is locked, and not to what."""
        return " ".join(filter(None, self.key))

    def __str__(self) -> str:
        return " ".join(filter(None, (*self.key, self.value, self.beside)))


class Lock(NamedTuple):
    """`entries` are sorted, each key once. `head` are comment lines above the version, `tail` those at the end."""

    entries: tuple[Entry, ...] = ()
    head: tuple[str, ...] = ()
    tail: tuple[str, ...] = ()

    @property
    def platforms(self) -> tuple[str, ...]:
        return tuple(entry.name for entry in self.entries if entry.kind == PLATFORM)

    @property
    def sources(self) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.kind != PLATFORM)

    def with_entries(self, entries: Iterable[Entry]) -> Lock:
        """The same with other entries; comments of those that it has already stay with them."""
        known = {entry.key: entry for entry in self.entries}
        kept = (known.get(entry.key, entry)._replace(value=entry.value) for entry in entries)
        return self._replace(entries=in_order(kept))


def in_order(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    return tuple(sorted(entries, key=lambda entry: (KINDS.index(entry.kind), entry.name, entry.platform)))


def familiar(entry: Entry) -> str:
    """The name as people type it."""
    return parse_reference(entry.name).familiar() if entry.kind == IMAGE else entry.name


def named(lock: Lock, name: str) -> tuple[Entry, ...]:
    """The sources of a name: the whole one, else as people type it, else without tag or ref. Nothing else fits."""
    ways = (_is, _is_familiar, _is_part)
    found = (tuple(entry for entry in lock.sources if fits(entry, name)) for fits in ways)
    return next(filter(None, found), ())


def _is(entry: Entry, name: str) -> bool:
    return entry.name == name


def _is_familiar(entry: Entry, name: str) -> bool:
    return familiar(entry) in (name, f"{name}:latest")


def _is_part(entry: Entry, name: str) -> bool:
    if entry.kind == GIT:
        return entry.name.partition("#")[0] == name
    if entry.kind == IMAGE:
        reference = parse_reference(entry.name)
        return name in (reference.repository, reference._replace(tag="", digest="").familiar())
    return False


def lock_text(lock: Lock) -> str:
    """The text of a lock: the same value gives the same bytes."""
    lines = [*lock.head, f"{HEADER} {VERSION}"]
    for number, entry in enumerate(lock.entries):
        # One blank line, between what it is for and what it holds.
        if entry.kind != PLATFORM and (number == 0 or lock.entries[number - 1].kind == PLATFORM):
            lines.append("")
        lines += [*entry.above, str(entry)]
    return "".join(f"{line}\n" for line in (*lines, *lock.tail))


def parse_lock(text: str, file: str) -> Lock:
    """Raises LockError with the place: for every line that is not understood, and for a source that is there twice."""
    head: tuple[str, ...] | None = None
    waiting: list[str] = []
    found: dict[tuple[str, str, str], Entry] = {}
    for number, raw in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        line, span = raw.strip(), Span(file, number, number)
        if line.startswith(_CONFLICT):
            raise _conflict(line, span)
        if not line or line.startswith("#"):
            waiting += [line] if line else []
            continue
        if head is None:
            _check_version(line, span)
            head = (*waiting, *_comment(line))
        else:
            _add(found, _entry(line, span)._replace(above=tuple(waiting)), file)
        waiting.clear()
    if head is None:
        raise LockError(f"{file} is not a lock file: the line {HEADER} {VERSION} is missing", hint=_REMAKE)
    return Lock(in_order(found.values()), head, tuple(waiting))


_REMAKE = "rbuild lock writes a new one where there is none"


def _conflict(line: str, span: Span) -> LockError:
    return LockError(
        f"a merge left its mark here: {line[:20]!r}",
        span=span,
        hint="keep the lines of both sides, each source once, and remove the marks; then run rbuild lock",
    )


def _check_version(line: str, span: Span) -> None:
    words = _COMMENT.sub("", line).split()
    if len(words) != 2 or words[0] != HEADER or not re.fullmatch(r"[0-9]{1,9}", words[1], re.ASCII):
        raise LockError(
            f"not a lock file: it begins with {line[:60]!r}, and not with {HEADER} {VERSION}", span=span, hint=_REMAKE
        )
    if int(words[1]) != VERSION:
        newer = "this file was written by a newer rbuild" if int(words[1]) > VERSION else "there was no such version"
        raise LockError(
            f"version {words[1]} of lock files is not known here, only {VERSION}: {newer}",
            span=span,
            hint="use the rbuild that wrote it, or one that is newer" if int(words[1]) > VERSION else _REMAKE,
        )


def _add(found: dict[tuple[str, str, str], Entry], entry: Entry, file: str) -> None:
    first = found.setdefault(entry.key, entry)
    if first is not entry:
        how = "again" if first.value == entry.value else "to something else"
        raise LockError(
            f"{entry.source} is locked {how}: line {first.line} has it already",
            span=Span(file, entry.line, entry.line),
            hint="remove one of the two lines",
        )


def _entry(line: str, span: Span) -> Entry:
    kind, *words = _COMMENT.sub("", line).split()
    if kind not in KINDS:
        near = did_you_mean(kind, KINDS)
        hint = near or f"a line begins with {', '.join(KINDS)} or #"
        raise LockError(f"unknown kind of source: {kind[:60]!r}", span=span, hint=hint)
    if len(words) != len(_WORDS[kind].split()):
        raise LockError(f"a line of {kind} has {len(words)} words after it", span=span, hint=f"{kind} {_WORDS[kind]}")
    try:
        name, platform, value = _READ[kind](*words)
    except BuildError as error:
        raise LockError(error.message, span=span, hint=f"{kind} {_WORDS[kind]}") from error
    return Entry(kind, name, platform, value, beside="".join(_comment(line)), line=span.first)


def _comment(line: str) -> list[str]:
    found = _COMMENT.search(line)
    return [found[0].strip()] if found else []


def _platform(text: str) -> tuple[str, str, str]:
    return str(parse_platform(text)), "", ""


def _image(name: str, platform: str, digest: str) -> tuple[str, str, str]:
    reference = parse_reference(name).or_latest()
    return str(reference), str(parse_platform(platform)), parse_digest(digest)


def _git(name: str, commit: str) -> tuple[str, str, str]:
    if not _COMMIT.fullmatch(commit):
        raise LockError(f"not a commit: {commit[:80]!r}")
    return _plain(name), "", commit


def _url(name: str, checksum: str) -> tuple[str, str, str]:
    if not name.startswith(("http://", "https://")):
        raise LockError(f"not an http address: {name[:80]!r}")
    if not _SHA256.fullmatch(checksum):
        raise LockError(f"not sha256: and 64 hexadecimal digits: {checksum[:80]!r}")
    return _plain(name), "", checksum


def _plain(name: str) -> str:
    if redacted(name) != name:
        raise LockError(f"the address of {redacted(name)} carries credentials, which belong into no file")
    return spelled(name)


_READ: dict[str, Callable[..., tuple[str, str, str]]] = {PLATFORM: _platform, IMAGE: _image, GIT: _git, URL: _url}
