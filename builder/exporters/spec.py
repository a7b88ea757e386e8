"""`-o type=…,dest=…[,key=value…]` → `Output`, with the keys and meanings of `docker buildx build`."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from builder.errors import DocumentError, UsageError
from builder.oci.reference import parse_reference
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.layers.codec import Compression

KINDS = ("oci", "docker", "tar", "local", "image", "registry", "cacheonly")
_IMAGE = ("name", "push", "push-by-digest", "name-canonical", "compression", "oci-mediatypes")
_KEYS = {
    "oci": ("tar", "name", "compression"),
    "docker": ("name", "compression"),
    "tar": ("platform-split",),
    "local": ("platform-split",),
    "image": _IMAGE,
    "registry": _IMAGE,
    "cacheonly": (),
}
_WITHOUT_DEST = ("image", "registry", "cacheonly")
_FLAGS = ("tar", "platform-split", "push", "push-by-digest", "name-canonical", "oci-mediatypes")
_COMPRESSIONS = ("gzip", "zstd", "none", "uncompressed")
_TRUE, _FALSE = ("1", "t", "true", "yes"), ("0", "f", "false", "no")


class Output(NamedTuple):
    """`dest` is a path, "-" for standard output, "" for what has none.

    `attributes` are sorted and checked, in one spelling."""

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
    def is_image(self) -> bool:
        """Whether the output is the image by its names: in the store, and in their registries if it `pushes`."""
        return self.kind in ("image", "registry")

    @property
    def pushes(self) -> bool:
        return self.is_image and self.get("push") == "true"

    def pushing(self) -> Output:
        """The same, pushed in any case."""
        return self._replace(attributes=tuple(sorted({**dict(self.attributes), "push": "true"}.items())))

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
    _check_kind(kind, text)
    dest = "" if kind in _WITHOUT_DEST else fields.pop("dest", "-")
    if not dest and kind not in _WITHOUT_DEST:
        raise UsageError(f"-o {text}: dest= is empty", hint="name a file or directory, or - for standard output")
    attributes = tuple(sorted((key, _attribute(kind, key, value)) for key, value in fields.items()))
    output = Output(kind, dest, attributes)
    if output.is_directory and output.dest == "-":
        raise UsageError(f"-o {text}: a directory is written, so dest= has to name it")
    _check_digest_only(output, text)
    return output.pushing() if kind == "registry" else output


def _check_digest_only(output: Output, text: str) -> None:
    for name in output.get("name").split(",") if output.get("push-by-digest") == "true" else ():
        if ":" in name.rpartition("/")[2]:
            raise UsageError(f"-o {text}: {name} has a tag, but push-by-digest sets none", hint="name the repository")


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
    if kind not in KINDS:
        missing = "type= is missing" if not kind else f"unknown type {kind!r}"
        raise UsageError(f"-o {text}: {missing}", hint=f"known are {', '.join(KINDS)}")


def _attribute(kind: str, key: str, value: str) -> str:
    if key not in _KEYS[kind]:
        known = ", ".join(("type", *(() if kind in _WITHOUT_DEST else ("dest",)), *_KEYS[kind]))
        raise UsageError(f"-o type={kind}: {key}= is unknown or not supported yet", hint=f"known are {known}")
    if key in _FLAGS:
        return _flag(kind, key, value)
    if key == "name":
        return _names(value)
    if key == "compression" and value not in _COMPRESSIONS:
        raise UsageError(f"compression={value} is unknown", hint=f"known are {', '.join(_COMPRESSIONS)}")
    return "none" if value == "uncompressed" else value


def _flag(kind: str, key: str, value: str) -> str:
    found = _boolean(key, value)
    if (key, found) == ("oci-mediatypes", "false"):
        raise UsageError("oci-mediatypes=false: documents are always OCI's", hint="leave it away")
    if (kind, key, found) == ("registry", "push", "false"):
        raise UsageError("type=registry pushes: push=false contradicts it", hint="type=image names it in the store")
    return found


def _names(value: str) -> str:
    """Refused now what would fail at the end of the build."""
    for name in filter(None, value.split(",")):
        try:
            parse_reference(name)
        except DocumentError as error:
            raise UsageError(f"name={value}: {error.message}", hint=error.hint) from error
    return value


def _boolean(key: str, value: str) -> str:
    if value.lower() in _TRUE:
        return "true"
    if value.lower() in _FALSE:
        return "false"
    raise UsageError(f"{key}={value} is neither true nor false")
