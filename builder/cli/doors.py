"""The doors to the other rooms. Each opens on first use, so that a command imports only what it needs.

Tests pass other doors, with small honest rooms behind them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from builder.values import NamedTuple

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from builder.bundling import Bundled, BundleRequest
    from builder.events import Emit
    from builder.exporters.spec import Output
    from builder.oci.reference import Reference
    from builder.request import BuildRequest, BuildResult
    from builder.store.store import Store


def request_type() -> type[BuildRequest]:
    from builder.request import BuildRequest

    return BuildRequest


def build(request: BuildRequest, emit: Emit, cancelled: threading.Event) -> BuildResult:
    from builder.building import build as run

    return run(request, emit, cancelled)


def bundle(request: BundleRequest, stdout: BinaryIO, cancelled: threading.Event) -> Bundled:
    from builder.bundling import bundle as run

    return run(request, stdout, cancelled)


def plan_text(request: BuildRequest) -> str:
    from builder.building import plan_text as text

    return text(request)


def dockerfile_text(content: bytes, file: str) -> str:
    from builder.dockerfile.parser import parse
    from builder.dockerfile.text import dump

    return dump(parse(content, file))


def open_store(root: str | None) -> Store:
    from builder.store.store import Store

    return Store.open(root)


def parse_reference(text: str) -> Reference:
    """With the tag "latest" where none is written, as every command means it."""
    from builder.oci.reference import parse_reference as parse

    return parse(text).or_latest()


def parse_output(text: str) -> Output:
    from builder.exporters.spec import parse_output as parse

    return parse(text)


def load_archive(path: str, store: Store) -> list[str]:
    """What was loaded: the tags, and the digests of images without one."""
    from builder.sources.archive import load

    return [image.name or image.descriptor.digest for image in load(path, store)]


def choose_tier(requested: str | None, needs_run: bool, store: str | None = None) -> str:
    from builder.sandbox.tiers import choose

    return choose(requested, needs_run, store)


def foreign_platforms(tier: str, store: str) -> dict[str, str]:
    """Architecture → how its programs run, "" where they do not."""
    from builder.sandbox.emulation import survey
    from builder.sandbox.tiers import TIERS

    return next((survey(each, store) for each in TIERS if each == tier != "none"), {})


class Doors(NamedTuple):
    request_type: Callable[[], type[BuildRequest]] = request_type
    build: Callable[[BuildRequest, Emit, threading.Event], BuildResult] = build
    plan_text: Callable[[BuildRequest], str] = plan_text
    dockerfile_text: Callable[[bytes, str], str] = dockerfile_text
    open_store: Callable[[str | None], Store] = open_store
    parse_reference: Callable[[str], Reference] = parse_reference
    parse_output: Callable[[str], Output] = parse_output
    load_archive: Callable[[str, Store], list[str]] = load_archive
    choose_tier: Callable[[str | None, bool, str | None], str] = choose_tier
    foreign_platforms: Callable[[str, str], dict[str, str]] = foreign_platforms
    bundle: Callable[[BundleRequest, BinaryIO, threading.Event], Bundled] = bundle
