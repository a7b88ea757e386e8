"""Where files of credentials are: those of docker and of podman, skopeo and buildah."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from builder.registry.options import RegistryOptions


def places(options: RegistryOptions, environ: Mapping[str, str]) -> tuple[str, ...]:
    """The files to look into, in their order. One that is named is the only one (containers-auth.json, 5)."""
    if options.authfile:
        return (options.authfile,)
    if named := environ.get("REGISTRY_AUTH_FILE"):
        return (named,)
    if folder := environ.get("DOCKER_CONFIG"):
        return (f"{folder}/config.json",)
    return (*_of_containers(environ), *_of_docker(environ))


def usual_place(options: RegistryOptions, environ: Mapping[str, str]) -> str:
    """Where new credentials go: docker's file, which lasts and which everybody reads, unless another is named."""
    return places(options, environ)[-1]


def _of_containers(environ: Mapping[str, str]) -> list[str]:
    runtime, home = environ.get("XDG_RUNTIME_DIR"), environ.get("HOME")
    config = environ.get("XDG_CONFIG_HOME") or (f"{home}/.config" if home else "")
    folders = [f"{runtime}/containers" if runtime else f"/run/containers/{os.getuid()}"]
    return [f"{folder}/auth.json" for folder in (*folders, *([f"{config}/containers"] if config else []))]


def _of_docker(environ: Mapping[str, str]) -> list[str]:
    home = environ.get("HOME")
    return [f"{home}/.docker/config.json"] if home else []
