"""The typed documents in one place to import from: values, and the functions that parse them."""

from __future__ import annotations

from builder.oci.config import Healthcheck, History, ImageConfig, parse_config
from builder.oci.descriptor import CONTAINERD_NAME, REF_NAME, Descriptor, describe, descriptor_from
from builder.oci.index import Index, parse_index
from builder.oci.manifest import Manifest, parse_manifest
from builder.oci.platform import Platform, parse_platform

__all__ = [
    "CONTAINERD_NAME",
    "REF_NAME",
    "Descriptor",
    "Healthcheck",
    "History",
    "ImageConfig",
    "Index",
    "Manifest",
    "Platform",
    "describe",
    "descriptor_from",
    "parse_config",
    "parse_index",
    "parse_manifest",
    "parse_platform",
]
