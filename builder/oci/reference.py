"""Image references: `[domain/]path[:tag][@digest]` with Docker's short names.

golang:1.21        docker.io / library/golang : 1.21
user/app           docker.io / user/app
localhost:5000/x   localhost:5000 / x
"""

from __future__ import annotations

import re

from builder.errors import DocumentError
from builder.oci.digest import parse_digest
from builder.values import NamedTuple

DEFAULT_DOMAIN = "docker.io"
_LEGACY_DOMAIN = "index.docker.io"
_OFFICIAL = "library/"

_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*", re.ASCII)
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?", re.ASCII)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_HEX64 = re.compile(r"[0-9a-f]{64}", re.ASCII)


class Reference(NamedTuple):
    """`tag` and `digest` are "" where not given; see `or_latest`."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def repository(self) -> str:
        return f"{self.domain}/{self.path}"

    def __str__(self) -> str:
        """The full form, which is the key of the store's tags."""
        return self.repository + self._suffix()

    def familiar(self) -> str:
        """The short form that people type."""
        if self.domain != DEFAULT_DOMAIN:
            return str(self)
        path = self.path.removeprefix(_OFFICIAL)
        # "library/a/b" is not what "a/b" means, so only official images lose the prefix.
        return (self.path if "/" in path else path) + self._suffix()

    def or_latest(self) -> Reference:
        return self if self.tag or self.digest else self._replace(tag="latest")

    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def parse_reference(text: str) -> Reference:
    """The normalised reference, or DocumentError saying which part is wrong. No tag is added."""
    rest, at, digest = text.partition("@")
    name, tag = _split_tag(rest)
    domain, path = _split_domain(name)
    if not _DOMAIN.fullmatch(domain):
        raise _fault(text, f"{domain!r} is not a registry name")
    if not _is_port(domain):
        raise _fault(text, f"{domain!r}: ports are 1 to 65535")
    if not _PATH.fullmatch(path):
        lower = path == path.lower()
        raise _fault(text, f"{path!r} is not a repository name" if lower else "repository names are lower case")
    if _HEX64.fullmatch(name):
        raise _fault(text, "64 hex digits are a digest, not a name")
    if len(domain) + len(path) >= 255:
        raise _fault(text, "the name is longer than 255 characters")
    if tag is not None and not _TAG.fullmatch(tag):
        raise _fault(text, f"{tag!r} is not a tag")
    return Reference(domain, path, tag or "", parse_digest(digest) if at else "")


def _split_tag(text: str) -> tuple[str, str | None]:
    """A colon after the last slash starts a tag; before it, a port."""
    name, colon, tag = text.rpartition(":")
    return (name, tag) if colon and "/" not in tag else (text, None)


def _split_domain(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    is_domain = "." in first or ":" in first or first == "localhost" or first != first.lower()
    if not slash or not is_domain:
        domain, path = DEFAULT_DOMAIN, name
    else:
        domain, path = (DEFAULT_DOMAIN if first == _LEGACY_DOMAIN else first), rest
    if domain == DEFAULT_DOMAIN and "/" not in path:
        path = _OFFICIAL + path
    return domain, path


def _is_port(domain: str) -> bool:
    """Whether what follows the colon could be one, where there is a colon outside of brackets."""
    port = domain.rpartition("]")[2].partition(":")[2]
    return not port or (len(port) <= 5 and 0 < int(port) < 65536)


def _fault(text: str, why: str) -> DocumentError:
    return DocumentError(f"not an image reference: {text[:300]!r}: {why}")
