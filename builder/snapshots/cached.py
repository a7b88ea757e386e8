"""The steps of one image as text: their keys and the layers that they made, for the cache of another machine.

A chain counts as a whole. A step that runs twice may make two trees, and each next one was made on one of them:
layers of two machines are never mixed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

from builder.errors import DocumentError
from builder.oci.assemble import Layer
from builder.oci.descriptor import descriptor_from
from builder.oci.digest import parse_digest
from builder.oci.json import Fields, build, decode, encode
from builder.snapshots.convert import Packing, remember_layer
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.layers.codec import Compression
    from builder.store.store import Store

_KEY = re.compile(r"[0-9a-f]{64}", re.ASCII)
_COMPRESSIONS = ("gzip", "zstd", "none")


class CachedStep(NamedTuple):
    """`traps` are those that the step fell into, None where nobody looked."""

    key: str
    traps: tuple[str, ...] | None
    packing: Packing
    layer: Layer


def steps_text(steps: Sequence[CachedStep]) -> bytes:
    return encode({"version": 1, "steps": [_json(step) for step in steps]}) + b"\n"


def parse_steps(raw: bytes) -> tuple[CachedStep, ...]:
    fields = Fields(decode(raw, "cached steps"), "cached steps")
    if fields.number("version") != 1:
        raise DocumentError("cached steps: of another version than 1", hint="use the rbuild that made them")
    found = fields.each("steps", _step_from)
    if fields.rest():
        raise DocumentError("cached steps: there is more in it than steps")
    return found


def adopt(store: Store, steps: Sequence[CachedStep]) -> None:
    """Let the store know the steps as if they had run here. Their layers have to be in it.

    No tree has the name that the snapshots get: a build that needs one runs the steps.
    """
    for step in steps:
        name = f"{step.key}.{step.layer.descriptor.digest[7:23]}"
        traps = {} if step.traps is None else {"traps": list(step.traps)}
        remember_layer(store, name, step.packing, step.layer)
        store.records.put(step.key, {"snapshot": name, **traps})


def _json(step: CachedStep) -> dict[str, object]:
    members = (
        ("key", step.key),
        ("traps", None if step.traps is None else list(step.traps)),
        ("epoch", step.packing.epoch),
        ("compression", step.packing.compression),
        ("layer", step.layer.descriptor.plain().as_json()),
        ("diffId", step.layer.diff_id),
    )
    return build(members, ())


def _step_from(document: object, what: str) -> CachedStep:
    fields = Fields(document, what)
    key, compression = fields.required("key"), fields.required("compression")
    if not _KEY.fullmatch(key):
        raise fields.fault("key", "a key of the cache")
    if compression not in _COMPRESSIONS:
        raise fields.fault("compression", "one of " + ", ".join(_COMPRESSIONS))
    layer = fields.one("layer", descriptor_from)
    if layer is None:
        raise DocumentError(f"{what}: layer is missing")
    packing = Packing(fields.number("epoch"), cast("Compression", compression))
    return CachedStep(key, fields.texts("traps"), packing, Layer(layer, parse_digest(fields.required("diffId"))))
