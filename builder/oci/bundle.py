"""What a bundle holds, as one document: every source of a build, and the blobs that they are made of. Pure.

Everything is sorted, nothing is dated: the same sources give the same bytes.
"""

from __future__ import annotations

import re

from builder.errors import DocumentError
from builder.oci.descriptor import Descriptor, descriptor_from
from builder.oci.digest import parse_digest
from builder.oci.json import Fields, build, decode, encode
from builder.oci.platform import Platform, platform_from
from builder.values import NamedTuple

VERSION = 1
FAMILY = "application/vnd.rbuild."
DOCUMENT = FAMILY + "bundle.v1+json"
OCTETS = "application/octet-stream"

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_ESCAPED = re.compile(rb"\\(.)")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}", re.ASCII)


class ImageSource(NamedTuple):
    """An image for one platform: `names` is how Dockerfiles and contexts call it, `reference` the full name or "".

    `root` is what the name stands for, an index or a manifest; `manifest` the one for `platform`.
    """

    names: tuple[str, ...]
    reference: str
    platform: Platform
    root: Descriptor
    manifest: Descriptor
    size: int


class FileSource(NamedTuple):
    """A download. `url` has no credentials; `time` is what its server said, in seconds, None for nothing."""

    url: str
    time: int | None
    blob: Descriptor


class CheckoutSource(NamedTuple):
    """A checkout as a tar. The first six were asked for; `name` is the full name of the ref, "" for a commit."""

    remote: str
    ref: str
    subdir: str
    keep_git_dir: bool
    submodules: bool
    commit_times: bool
    commit: str
    name: str
    time: int | None
    blob: Descriptor


class StepsSource(NamedTuple):
    """The cached steps of a stage: a JSON; their layers are among the blobs."""

    stage: str
    platform: Platform
    number: int
    blob: Descriptor


Artifact = FileSource | CheckoutSource | StepsSource


class Bundle(NamedTuple):
    """`blobs` are sizes by digest of all that is here, `elsewhere` of what only the bundle `base` has ("" for none)."""

    images: tuple[ImageSource, ...] = ()
    files: tuple[FileSource, ...] = ()
    checkouts: tuple[CheckoutSource, ...] = ()
    steps: tuple[StepsSource, ...] = ()
    blobs: tuple[tuple[str, int], ...] = ()
    elsewhere: tuple[tuple[str, int], ...] = ()
    base: str = ""

    @property
    def others(self) -> list[Artifact]:
        """The sources that are no images: each has a manifest of its own."""
        return [*self.files, *self.checkouts, *self.steps]

    def encode(self) -> bytes:
        members = (
            ("version", VERSION),
            ("base", self.base),
            ("images", [_image_json(one) for one in self.images] or None),
            ("files", [_file_json(one) for one in self.files] or None),
            ("checkouts", [_checkout_json(one) for one in self.checkouts] or None),
            ("steps", [_steps_json(one) for one in self.steps] or None),
            ("blobs", dict(self.blobs) or None),
            ("elsewhere", dict(self.elsewhere) or None),
        )
        return encode(build(members, ())) + b"\n"

    def sorted(self) -> Bundle:
        """The one order in which the parts are written, each once."""
        return self._replace(
            images=tuple(sorted(set(self.images), key=lambda one: (one.names, str(one.platform), one.root.digest))),
            files=tuple(sorted(set(self.files), key=lambda one: (one.url, one.blob.digest))),
            checkouts=tuple(sorted(set(self.checkouts), key=lambda one: (*one[:8], one.blob.digest))),
            steps=tuple(sorted(set(self.steps), key=lambda one: (one.stage, str(one.platform), one.blob.digest))),
            blobs=tuple(sorted(self.blobs)),
            elsewhere=tuple(sorted(self.elsewhere)),
        )


def newer(version: object) -> DocumentError:
    return DocumentError(
        f"it is a bundle of version {version!r}, known is {VERSION}", hint="use the rbuild that made it"
    )


def parse_bundle(raw: bytes) -> Bundle:
    """The bundle in `raw`, which must be written as `Bundle.encode` writes it."""
    document = decode(raw, "bundle document")
    # Names are shown to people: in a terminal such characters do things.
    if _CONTROL.search(raw[:-1].decode()) or set(_ESCAPED.findall(raw)) - {b'"', b"\\"}:
        raise DocumentError("bundle document: there are control characters in it")
    if document.get("version") != VERSION:
        raise newer(document.get("version"))
    fields = Fields(document, "bundle document")
    fields.number("version")
    bundle = Bundle(
        base=fields.text("base"),
        images=fields.each("images", _image_from),
        files=fields.each("files", _file_from),
        checkouts=fields.each("checkouts", _checkout_from),
        steps=fields.each("steps", _steps_from),
        blobs=fields.one("blobs", _sizes_from) or (),
        elsewhere=fields.one("elsewhere", _sizes_from) or (),
    )
    if bundle.base:
        parse_digest(bundle.base)
    if fields.rest() or bundle.sorted().encode() != raw:
        raise DocumentError("bundle document: not in the form that rbuild bundle writes")
    return bundle


def _sizes_from(document: object, what: str) -> tuple[tuple[str, int], ...]:
    if not isinstance(document, dict):
        raise DocumentError(f"{what} is not a JSON object")
    fields = Fields(document, what)
    return tuple((parse_digest(digest), fields.number(digest)) for digest in document)


def _image_json(one: ImageSource) -> dict[str, object]:
    members = (
        ("names", list(one.names)),
        ("reference", one.reference),
        ("platform", one.platform.as_json()),
        ("root", one.root.as_json()),
        ("manifest", one.manifest.as_json()),
        ("size", one.size),
    )
    return build(members, ())


def _image_from(document: object, what: str) -> ImageSource:
    fields = Fields(document, what)
    found = ImageSource(
        names=fields.texts("names") or (),
        reference=fields.text("reference"),
        platform=_required_platform(fields),
        root=_required(fields, "root"),
        manifest=_required(fields, "manifest"),
        size=fields.number("size"),
    )
    if not found.names:
        raise DocumentError(f"{what}: names is missing")
    fields.rest()
    return found


def _file_json(one: FileSource) -> dict[str, object]:
    return build((("url", one.url), ("time", _written(one.time)), ("blob", one.blob.as_json())), ())


def _file_from(document: object, what: str) -> FileSource:
    fields = Fields(document, what)
    return FileSource(fields.required("url"), _time(fields), _required(fields, "blob"))


def _checkout_json(one: CheckoutSource) -> dict[str, object]:
    members = (
        ("remote", one.remote),
        ("ref", one.ref),
        ("subdir", one.subdir),
        ("keepGitDir", one.keep_git_dir),
        ("submodules", one.submodules),
        ("commitTimes", one.commit_times),
        ("commit", one.commit),
        ("name", one.name),
        ("time", _written(one.time)),
        ("blob", one.blob.as_json()),
    )
    return build(members, ())


def _checkout_from(document: object, what: str) -> CheckoutSource:
    fields = Fields(document, what)
    found = CheckoutSource(
        remote=fields.required("remote"),
        ref=fields.text("ref"),
        subdir=fields.text("subdir"),
        keep_git_dir=fields.flag("keepGitDir"),
        submodules=fields.flag("submodules"),
        commit_times=fields.flag("commitTimes"),
        commit=fields.required("commit"),
        name=fields.text("name"),
        time=_time(fields),
        blob=_required(fields, "blob"),
    )
    if not _COMMIT.fullmatch(found.commit):
        raise fields.fault("commit", "a commit")
    return found


def _steps_json(one: StepsSource) -> dict[str, object]:
    return build(
        (
            ("stage", one.stage),
            ("platform", one.platform.as_json()),
            ("count", one.number),
            ("blob", one.blob.as_json()),
        ),
        (),
    )


def _steps_from(document: object, what: str) -> StepsSource:
    fields = Fields(document, what)
    blob = _required(fields, "blob")
    return StepsSource(fields.required("stage"), _required_platform(fields), fields.number("count"), blob)


def _written(time: int | None) -> str:
    return "" if time is None else str(time)


def _time(fields: Fields) -> int | None:
    text = fields.text("time")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 16):
        raise fields.fault("time", "a number of seconds")
    return int(text)


def _required(fields: Fields, key: str) -> Descriptor:
    found = fields.one(key, descriptor_from)
    if found is None:
        raise DocumentError(f"{fields.what}: {key} is missing")
    return found


def _required_platform(fields: Fields) -> Platform:
    found = fields.one("platform", platform_from)
    if found is None:
        raise DocumentError(f"{fields.what}: platform is missing")
    return found
