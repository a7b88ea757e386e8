"""The libraries that read and write compressed layers, before they are used: here, and of the right version.

An installation whose packages were changed behind pip's back would otherwise give layers of other digests.
"""

from __future__ import annotations

from importlib import import_module

from builder.errors import BuildError

# As in pyproject.toml: what compresses a layer is a part of what its bytes are.
_WRITERS = {"deflate": "0.9.0", "zstandard": "0.25.0"}


def demand_writer(name: str) -> None:
    """BuildError unless the module `name` is here in the version that layers are compressed with."""
    wanted = _WRITERS[name]
    found = str(getattr(_imported(name, f"{name}=={wanted}"), "__version__", "unknown"))
    if found != wanted:
        raise BuildError(
            f"layers are compressed by {name} {wanted}; {name} {found}, which is installed, may give other digests",
            hint=_remedy(f"{name}=={wanted}"),
        )


def demand(name: str, package: str) -> None:
    """BuildError unless the module `name` of `package` is here."""
    _imported(name, package)


def _imported(name: str, package: str) -> object:
    try:
        return import_module(name)
    except ImportError as error:
        raise BuildError(f"the Python package {package} cannot be used: {error}", hint=_remedy(package)) from error


def _remedy(package: str) -> str:
    import shlex
    import sys

    return f"install what rbuild needs: {shlex.quote(sys.executable)} -m pip install '{package}'"
