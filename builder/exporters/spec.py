"""`-o type=…,dest=…[,key=value…]` → `Output`, with the keys and meanings of `docker buildx build`."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from builder.errors import NotSupported, UsageError
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.layers.codec import Compression

KINDS = ("oci", "docker", "tar", "local")
_KEYS = {
    "oci": ("tar", "name", "compression"),
    "docker": ("name", "compression"),
    "tar": ("platform-split",),
    "local": ("platform-split",),
}
_COMPRESSIONS = ("gzip", "zstd", "none", "uncompressed")
_TRUE, _FALSE = ("1", "t", "true", "yes"), ("0", "f", "false", "no")
_LATER = ("image", "registry", "cacheonly")


class Output(NamedTuple):
    """`dest` is a path, or "-" for standard output. `attributes` are sorted and checked, in one spelling."""

    kind: str
    dest: str
    attributes: tuple[tuple[str, str], ...] = ()

    def get(self, key: str) -> str:
        return dict(self.attributes).get(key, "")

    @property
    def compression(self) -> Compression | None:
        """What compression= asks for, None where it does not."""
        return cast("Compression | None", self.get("compression") or None)

    @property
    def holds_rootfs(self) -> bool:
        """Whether the output is the root file system itself and not an image of layers."""
        return self.kind in ("tar", "local")

    @property
    def is_directory(self) -> bool:
        return self.kind == "local" or self.get("tar") == "false"


def parse_output(text: str) -> Output:
    """The value of one -o option; UsageError says what is wrong with it.

    `-o DIR` is short for `type=local,dest=DIR`, and `-o -` for `type=tar,dest=-`.
    """
    if "=" not in text and "," not in text and text:
        return Output("tar", "-") if text == "-" else Output("local", text)
    fields = _fields(text)
    kind = fields.pop("type", "")
    dest = fields.pop("dest", "-")
    _check_kind(kind, text)
    if not dest:
        raise UsageError(f"-o {text}: dest= is empty", hint="name a file or directory, or - for standard output")
    attributes = tuple(sorted((key, _attribute(kind, key, value)) for key, value in fields.items()))
    output = Output(kind, dest, attributes)
    if output.is_directory and output.dest == "-":
        raise UsageError(f"-o {text}: a directory is written, so dest= has to name it")
    return output


def check_platforms(outputs: Sequence[Output], count: int) -> None:
    """UsageError for an output that cannot hold as many platforms, before any of them is built."""
    if count > 1 and any(output.kind == "docker" for output in outputs):
        raise UsageError(
            f"-o type=docker: a docker archive holds one platform, and {count} are built",
            hint="write -o type=oci, or build one platform at a time",
        )


def _fields(text: str) -> dict[str, str]:
    import csv

    rows = list(csv.reader([text], strict=False))
    fields: dict[str, str] = {}
    for item in rows[0] if rows else ():
        key, equals, value = item.partition("=")
        key = key.strip().lower()
        if not equals or not key:
            raise UsageError(f"-o {text}: {item!r} is not key=value", hint="write -o type=oci,dest=FILE")
        if fields.setdefault(key, value) != value:
            raise UsageError(f"-o {text}: {key} is given twice")
    return fields


def _check_kind(kind: str, text: str) -> None:
    if kind in _LATER:
        raise NotSupported(f"-o {text}: type={kind} is not supported yet", hint=f"known are {', '.join(KINDS)}")
    if kind not in KINDS:
        missing = "type= is missing" if not kind else f"unknown type {kind!r}"
        raise UsageError(f"-o {text}: {missing}", hint=f"known are {', '.join(KINDS)}")


def _attribute(kind: str, key: str, value: str) -> str:
    if key not in _KEYS[kind]:
        known = ", ".join(("type", "dest", *_KEYS[kind]))
        raise UsageError(f"-o type={kind}: {key}= is unknown or not supported yet", hint=f"known are {known}")
    if key in ("tar", "platform-split"):
        return _boolean(key, value)
    if key == "compression" and value not in _COMPRESSIONS:
        raise UsageError(f"compression={value} is unknown", hint=f"known are {', '.join(_COMPRESSIONS)}")
    return "none" if value == "uncompressed" else value


def _boolean(key: str, value: str) -> str:
    if value.lower() in _TRUE:
        return "true"
    if value.lower() in _FALSE:
        return "false"
    raise UsageError(f"{key}={value} is neither true nor false")
