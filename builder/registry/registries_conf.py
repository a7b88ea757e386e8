"""registries.conf, version 2 (containers-registries.conf(5)): from its text to what it says. Pure.

    [[registry]]                    tables, by the longest prefix of the image's name
    prefix, location                the name that people write, and where it really is
    insecure, blocked
    [[registry.mirror]]             location, insecure, pull-from-mirror
    [aliases]                       short names

Every fault is a UsageError with the file and, where it can be told, the line.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar

from builder.errors import DocumentError, Span, UsageError
from builder.oci.reference import DEFAULT_DOMAIN, parse_reference
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import NoReturn

T = TypeVar("T")


class Mirror(NamedTuple):
    """`location` takes the place of its table's prefix; `by_tag` and `by_digest` say for which names it is asked."""

    location: str
    insecure: bool = False
    by_tag: bool = True
    by_digest: bool = True


class Table(NamedTuple):
    """A [[registry]]. `location` is "" where names stay as they are. `file` is where it is written."""

    prefix: str
    location: str = ""
    insecure: bool = False
    blocked: bool = False
    mirrors: tuple[Mirror, ...] = ()
    file: str = ""


class Conf(NamedTuple):
    """What one file says, or several together. `helpers` and `search` are None where they are not set.

    An alias of "" takes an earlier one back. `search` are the unqualified-search-registries, `searched_by` their file.
    """

    tables: tuple[Table, ...] = ()
    aliases: tuple[tuple[str, str], ...] = ()
    helpers: tuple[str, ...] | None = None
    search: tuple[str, ...] | None = None
    searched_by: str = ""


# These are read by container engines and change nothing here; docs/registries.md says why.
_WITHOUT_EFFECT = ("short-name-mode", "additional-layer-store-auth-helper")
_TOP = ("registry", "aliases", "credential-helpers", "unqualified-search-registries", *_WITHOUT_EFFECT)
_TABLE = ("prefix", "location", "insecure", "blocked", "mirror", "mirror-by-digest-only")
_MIRROR = ("location", "insecure", "pull-from-mirror")
_FROM_MIRROR = {"": (True, True), "all": (True, True), "tag-only": (True, False), "digest-only": (False, True)}
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::[0-9]+)?", re.ASCII)


def parse_conf(file: str, text: str) -> Conf:
    """What `text`, the content of `file`, says. Raises UsageError."""
    reader = _Reader(file, text)
    top = reader.top()
    return Conf(
        reader.tables(reader.take(top, "registry", list, [])),
        reader.aliases(reader.take(top, "aliases", dict, {})),
        reader.names(top, "credential-helpers"),
        reader.names(top, "unqualified-search-registries"),
        file if "unqualified-search-registries" in top else "",
    )


def merged(confs: Iterable[Conf]) -> Conf:
    """Later ones win: table by table of the same prefix, alias by alias, and lists as a whole."""
    tables: dict[str, Table] = {}
    aliases: dict[str, str] = {}
    whole = Conf()
    for conf in confs:
        tables.update((table.prefix, table) for table in conf.tables)
        aliases.update(conf.aliases)
        if conf.helpers is not None:
            whole = whole._replace(helpers=conf.helpers)
        if conf.search is not None:
            whole = whole._replace(search=conf.search, searched_by=conf.searched_by)
    kept = tuple((name, value) for name, value in aliases.items() if value)
    return whole._replace(tables=tuple(tables.values()), aliases=kept)


def matched(prefix: str, name: str) -> int:
    """How much of `name` (a whole reference) `prefix` covers; 0 where it does not match. Hosts have no case."""
    prefix, name = _folded(prefix), _folded(name)
    if prefix.startswith("*."):
        host = name.partition("/")[0]
        bare = host if host.endswith(prefix[1:]) else host.rpartition(":")[0]
        # The dot is part of it: *.example.com is neither example.com nor badexample.com.
        return len(bare) if bare.endswith(prefix[1:]) and len(bare) > len(prefix) - 1 else 0
    whole = name == prefix or (name.startswith(prefix) and name[len(prefix)] in ":/@")
    return len(prefix) if whole else 0


def _folded(name: str) -> str:
    host, slash, rest = name.partition("/")
    return host.lower() + slash + rest


def table_of(conf: Conf, name: str) -> Table | None:
    """The one table that counts for `name`: that of the longest match."""
    best = max(conf.tables, key=lambda table: matched(table.prefix, name), default=None)
    return best if best is not None and matched(best.prefix, name) else None


def is_location(text: str, *, wildcard: bool = False) -> bool:
    """Whether `text` begins with a host, and has no blanks, no scheme and no empty components."""
    host, *rest = text.removeprefix("*.").split("/") if wildcard else text.split("/")
    return bool(_HOST.fullmatch(host)) and all(rest) and text.isprintable() and " " not in text


class _Reader:
    """Takes values out of parsed TOML, each with its type; knows the file for what it complains of."""

    def __init__(self, file: str, text: str) -> None:
        self._file = file
        self._text = text

    def top(self) -> dict[str, Any]:
        import tomllib

        try:
            top = tomllib.loads(self._text)
        except RecursionError:
            raise self._not_toml("nested too deeply") from None
        except ValueError as error:  # tomllib.TOMLDecodeError, and what it lets pass of a date or a number
            raise self._not_toml(str(error)) from error
        if "registries" in top:
            self._fail("registries", "this is version 1 of the format", "write [[registry]] tables instead")
        self._only(top, _TOP, "registries.conf")
        return top

    def tables(self, listed: list[Any]) -> tuple[Table, ...]:
        tables = tuple(self._table(self._dict("registry", entry)) for entry in listed)
        for number, table in enumerate(tables):
            if any(table.prefix == other.prefix for other in tables[:number]):
                self._fail(
                    table.prefix, f"the prefix {table.prefix} is given twice", "make one [[registry]] of the two"
                )
        return tables

    def _table(self, entry: dict[str, Any]) -> Table:
        if "pull-from-mirror" in entry:
            self._fail("pull-from-mirror", "pull-from-mirror belongs to a mirror", "write it below [[registry.mirror]]")
        self._only(entry, _TABLE, "[[registry]]")
        location = self._location(entry, "location")
        prefix = self._location(entry, "prefix", wildcard=True) or location
        if not prefix:
            self._fail("registry", "a [[registry]] has neither prefix nor location", "name the registry: prefix = …")
        digests = self.take(entry, "mirror-by-digest-only", bool, False)
        mirrors = self.take(entry, "mirror", list, [])
        return Table(
            prefix,
            location if location != prefix else "",
            self.take(entry, "insecure", bool, False),
            self.take(entry, "blocked", bool, False),
            tuple(self._mirror(self._dict("registry.mirror", mirror), digests) for mirror in mirrors),
            self._file,
        )

    def _mirror(self, entry: dict[str, Any], digests: bool) -> Mirror:
        self._only(entry, _MIRROR, "[[registry.mirror]]")
        location = self._location(entry, "location")
        if not location:
            self._fail("registry.mirror", "a [[registry.mirror]] has no location", "name it: location = …")
        when = self.take(entry, "pull-from-mirror", str, "")
        if when not in _FROM_MIRROR:
            self._fail("pull-from-mirror", f"pull-from-mirror is {when!r}", "it is all, digest-only or tag-only")
        if when and digests:
            self._fail(
                "mirror-by-digest-only",
                "mirror-by-digest-only and pull-from-mirror are both set",
                "leave mirror-by-digest-only out",
            )
        by_tag, by_digest = _FROM_MIRROR[when]
        return Mirror(location, self.take(entry, "insecure", bool, False), by_tag and not digests, by_digest)

    def aliases(self, entries: dict[str, Any]) -> tuple[tuple[str, str], ...]:
        return tuple((name, self._alias(name, value)) for name, value in entries.items())

    def _alias(self, name: str, value: object) -> str:
        if not isinstance(value, str):
            self._fail(name, f"the alias {name} is not a string", 'write "name" = "registry/repository"')
        if not is_short(name):
            self._fail(name, f"{name!r} is not a short name", "a short name has no registry, no tag and no digest")
        if value and not is_full(value):
            self._fail(name, f"the alias {name} is {value!r}", "it is a registry and a repository, without a tag")
        return value

    def names(self, top: dict[str, Any], key: str) -> tuple[str, ...] | None:
        if key not in top:
            return None
        names = self.take(top, key, list, [])
        if not all(isinstance(name, str) and name and "/" not in name for name in names):
            self._fail(key, f"{key} is not a list of names", f"as in {key} = [{_EXAMPLES_OF_NAMES[key]}]")
        return tuple(names)

    def take(self, entry: Mapping[str, Any], key: str, kind: type[T], default: T) -> T:
        value = entry.get(key, default)
        if not isinstance(value, kind):
            self._fail(key, f"{key} is not {_KINDS[kind]}", f"write {key} = {_EXAMPLES[kind]}")
        return value

    def _location(self, entry: dict[str, Any], key: str, *, wildcard: bool = False) -> str:
        text = self.take(entry, key, str, "").rstrip("/")
        if "://" in text:
            self._fail(key, f"{key} {text!r} has a scheme", "leave it out; insecure = true allows plain HTTP")
        if text.startswith("*.") and "/" in text:
            self._fail(key, f"{key} {text!r} is a wildcard with a path", "a wildcard stands for hosts: *.example.com")
        if text and not is_location(text, wildcard=wildcard):
            self._fail(key, f"{key} {text!r} is not HOST[:PORT][/PATH]", "as in registry.example:5000/team")
        return text

    def _dict(self, key: str, entry: object) -> dict[str, Any]:
        if not isinstance(entry, dict):
            self._fail(key, f"{key} is not a table", f"write [[{key}]]")
        return entry

    def _only(self, entry: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
        from difflib import get_close_matches

        for key in entry:
            if key not in known:
                near = get_close_matches(key, known, 1)
                meant = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
                self._fail(key, f"unknown key {key!r} in {where}", meant)

    def _fail(self, key: str, what: str, hint: str) -> NoReturn:
        raise UsageError(what, hint=hint, span=self._span(key)) from None

    def _span(self, key: str) -> Span:
        """The first line that sets or opens `key`: TOML, once parsed, tells no places."""
        name = re.escape(key)
        pattern = re.compile(rf"^\s*(?:\[+\s*{name}\b|[\"']?{name}[\"']?\s*=|[^#=\n]*=\s*[\"']{name}[\"'])", re.M)
        found = pattern.search(self._text)
        line = self._text.count("\n", 0, found.end()) + 1 if found else 1
        return Span(self._file, line, line)

    def _not_toml(self, why: str) -> UsageError:
        at = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", why)
        line = int(at[1]) if at and at[1] else self._text.count("\n") + 1
        column = int(at[2]) if at and at[2] else 0
        said = why[: at.start()] if at else why
        return UsageError(f"not TOML: {said[0].lower()}{said[1:]}", span=Span(self._file, line, line, column))


_EXAMPLES_OF_NAMES = {"credential-helpers": '"secretservice"', "unqualified-search-registries": '"docker.io"'}
_KINDS: dict[type, str] = {bool: "true or false", str: "a string", list: "a list", dict: "a table"}
_EXAMPLES: dict[type, str] = {bool: "true", str: '"…"', list: "[…]", dict: "{…}"}


def is_short(name: str) -> bool:
    """Whether `name` has no registry, tag or digest: what aliases may stand for."""
    try:
        found = parse_reference(name)
    except DocumentError:
        return False
    return not (found.tag or found.digest) and name in (found.familiar(), found.path) and found.domain == DEFAULT_DOMAIN


def is_full(name: str) -> bool:
    """Whether `name` has a registry, and neither tag nor digest."""
    try:
        found = parse_reference(name)
    except DocumentError:
        return False
    return not (found.tag or found.digest) and name.partition("/")[0] in (found.domain, "index.docker.io")
