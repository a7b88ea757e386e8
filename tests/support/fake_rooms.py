"""Small honest rooms behind the command line's doors: they keep values and build nothing."""

from __future__ import annotations

import hashlib
import io
import json
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from builder.cli.console import Console
from builder.cli.doors import Doors
from builder.cli.main import main
from builder.errors import DocumentError, NotFound, UsageError
from builder.exporters.spec import Output
from builder.oci.descriptor import Descriptor
from builder.request import BuildRequest

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping, Sequence

    from builder.events import Emit


class BuildResult(NamedTuple):
    name: str
    digest: str
    config_digest: str
    descriptor: Descriptor
    cached: int
    executed: int


class Reference(NamedTuple):
    path: str
    tag: str
    digest: str | None = None

    def __str__(self) -> str:
        return f"docker.io/library/{self.path}:{self.tag}"

    def familiar(self) -> str:
        return f"{self.path}:{self.tag}"


def parse_reference(text: str) -> Reference:
    name, _, digest = text.removeprefix("docker.io/library/").partition("@")
    path, _, tag = name.partition(":")
    if not path or path != path.lower() or path.startswith("-"):
        raise DocumentError(f"not an image reference: {text!r}", hint="names are lower case")
    return Reference(path, tag or "latest", digest or None)


def parse_output(text: str) -> Output:
    fields = dict(part.partition("=")[::2] for part in text.split(","))
    if "type" not in fields:
        raise UsageError("type= is missing")
    return Output(fields["type"], fields.get("dest", "-"))


class Blobs:
    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def put_bytes(self, media_type: str, content: bytes) -> Descriptor:
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        self.kept[digest] = content
        return Descriptor(media_type, digest, len(content))

    def open(self, digest: str) -> BinaryIO:
        if digest not in self.kept:
            raise NotFound(f"no blob {digest}")
        return io.BytesIO(self.kept[digest])


class Tags:
    def __init__(self) -> None:
        self.kept: dict[str, Descriptor] = {}

    def all(self) -> tuple[tuple[str, Descriptor], ...]:
        return tuple(sorted(self.kept.items()))

    def set(self, reference: str, descriptor: Descriptor) -> None:
        self.kept[reference] = descriptor

    def remove(self, reference: str) -> None:
        del self.kept[reference]


class Store:
    root = "/store"

    def __init__(self) -> None:
        self.blobs = Blobs()
        self.tags = Tags()

    def add(self, name: str, created: str = "2024-05-01T10:20:30Z", layer_size: int = 1_500_000) -> Descriptor:
        config = self.blobs.put_bytes("config", json.dumps({"os": "linux", "created": created}).encode())
        layers = [{"mediaType": "layer", "digest": "sha256:" + "0" * 64, "size": layer_size}]
        manifest = {
            "schemaVersion": 2,
            "config": {"digest": config.digest, "size": config.size},
            "layers": layers,
        }
        descriptor = self.blobs.put_bytes("manifest", json.dumps(manifest).encode())
        self.tags.set(name, descriptor)
        return descriptor


RESULT = BuildResult(
    "",
    "sha256:" + "ab" * 32,
    "sha256:" + "cd" * 32,
    Descriptor("manifest/type", "sha256:" + "ab" * 32, 321),
    1,
    2,
)


class Library:
    """`builder.building` that remembers the request and does `work` with (emit, cancelled)."""

    def __init__(
        self, work: Callable[[Emit, threading.Event], object] = lambda emit, cancelled: None, result: Any = RESULT
    ) -> None:
        self.requests: list[Any] = []
        self._work = work
        self._result = result

    def build(self, request: Any, emit: Emit, cancelled: threading.Event) -> Any:
        self.requests.append(request)
        self._work(emit, cancelled)
        return self._result


def rooms(library: Library | None = None, store: Store | None = None, **others: Any) -> Doors:
    library, store = library or Library(), store or Store()
    found: dict[str, Any] = {
        "request_type": lambda: BuildRequest,
        "build": library.build,
        "plan_text": lambda request: f"plan of {request.target}",
        "dockerfile_text": lambda content, file: f"{file}: {content.decode()}",
        "open_store": lambda root: store,
        "parse_reference": parse_reference,
        "parse_output": parse_output,
        "load_archive": lambda path, store: [f"loaded:{path}"],
        "foreign_platforms": lambda tier, store: {"arm64": "by /q", "s390x": ""} if tier != "none" else {},
        "choose_tier": lambda requested, needs_run, store: requested or "userns",
    }
    return Doors(**{**found, **others})


class Stream(io.StringIO):
    def __init__(self, *, terminal: bool = False) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


class Ran(NamedTuple):
    status: int
    out: str
    err: str


def rbuild(
    *words: str,
    doors: Doors | None = None,
    environ: Mapping[str, str] | None = None,
    terminal: bool = False,
) -> Ran:
    """One command line against fake rooms. `terminal` makes standard output and error terminals."""
    out, err = Stream(terminal=terminal), Stream(terminal=terminal)
    console = Console(out, err, environ or {})
    asked: Sequence[str] = words
    status = main(asked, console, doors or rooms())
    return Ran(status, out.getvalue(), err.getvalue())
