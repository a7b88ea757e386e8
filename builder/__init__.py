"""rbuild: turns a Dockerfile into an OCI image, with no root and no daemon.

As a library: ``build(BuildRequest(...))`` does what the command does, raises `BuildError`s,
reports `Event`s to a callback and prints nothing. The names are resolved on first use, so that
importing this package costs nothing.
"""

__version__ = "0.1.0.dev0"

_FACE = {
    "build": "builder.building",
    "BuildRequest": "builder.request",
    "BuildError": "builder.errors",
    "Event": "builder.events",
}
__all__ = ["BuildError", "BuildRequest", "Event", "__version__", "build"]


def __getattr__(name: str) -> object:
    if name not in _FACE:
        raise AttributeError(f"module 'builder' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_FACE[name]), name)
