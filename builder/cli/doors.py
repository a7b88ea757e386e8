"""The doors to the other rooms. Each opens on first use, so that a command imports only what it needs.

Tests pass other doors, with small honest rooms behind them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from builder.build import BuildRequest, BuildResult
    from builder.events import Emit
    from builder.exporters.spec import Output
    from builder.oci.reference import Reference
    from builder.store.store import Store


def request_type() -> type[BuildRequest]:
    from builder.build import BuildRequest

    return BuildRequest


def build(request: BuildRequest, emit: Emit, cancelled: threading.Event) -> BuildResult:
    from builder.build import build as run

    return run(request, emit, cancelled)


def plan_text(request: BuildRequest) -> str:
    from builder.build import plan_text as text

    return text(request)


def dockerfile_text(content: bytes, file: str) -> str:
    from builder.dockerfile import parser, text

    return text.dump(parser.parse(content, file))


def open_store(root: str | None) -> Store:
    from builder.store.store import Store

    return Store.open(root)


def parse_reference(text: str) -> Reference:
    from builder.oci import reference

    return reference.parse(text)


def parse_output(text: str) -> Output:
    from builder.exporters import spec

    return spec.parse_output(text)


def load_archive(path: str, store: Store) -> list[str]:
    from builder.sources import archive

    return archive.load(path, store)


def choose_tier(requested: str | None, needs_run: bool, store: str | None = None) -> str:
    from builder.sandbox import tiers

    return tiers.choose(requested, needs_run, store)


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
