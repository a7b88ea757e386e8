"""rbuild bundle: what a Dockerfile needs, in one file for a host without a network; and what is in such a file."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from builder.cli.request import request_of
from builder.cli.signals import Interrupts
from builder.errors import Cancelled, UsageError
from builder.progress.text import size
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.bundling import Bundled, BundleRequest
    from builder.cli.argv import Arguments
    from builder.cli.console import Console
    from builder.cli.doors import Doors
    from builder.oci.bundle import Bundle, CheckoutSource, StepsSource


class Row(NamedTuple):
    """A source. `digest` is that of its manifest, file or packed checkout; `commit` "" for what has none."""

    kind: str
    name: str
    platform: str
    size: int
    digest: str
    commit: str = ""


def run(arguments: Arguments, console: Console, doors: Doors) -> int:
    if path := arguments.one("list"):
        return _list(path, arguments, console)
    if arguments.flag("json"):
        raise UsageError("--json is for --list")
    request = _request(arguments, console, doors)
    made = _made(request, doors)
    console.err("".join(f"warning: {text}\n" for text in made.warnings))
    console.err(_table(made.bundle))
    console.err(f"{_count(made.bundle)}, {size(made.written)} in {_shown(request.dest)}\n")
    return 0


def _request(arguments: Arguments, console: Console, doors: Doors) -> BundleRequest:
    from builder.bundling import BundleRequest

    dest = arguments.one("output")
    if not dest:
        raise UsageError("bundle needs -o DEST", hint="-o FILE.tar, -o DIRECTORY, or -o - for standard output")
    if dest == "-" and console.stdout.isatty():
        raise UsageError("-o -: refusing to write an archive to a terminal", hint="-o FILE.tar, or a pipe")
    others = {name: values for name, values in arguments.values.items() if name != "output"}
    build = request_of(arguments._replace(values=others), console.environ, doors)
    return BundleRequest(build, dest, arguments.all("target"), arguments.one("since") or "", arguments.flag("cache"))


def _made(request: BundleRequest, doors: Doors) -> Bundled:
    with Interrupts() as interrupts:
        try:
            return doors.bundle(request, sys.stdout.buffer, interrupts.cancelled)
        except Exception as error:
            if interrupts.status is None:
                raise
            stopped = Cancelled("the bundle was not made")
            stopped.exit_status = interrupts.status
            raise stopped from error


def _list(path: str, arguments: Arguments, console: Console) -> int:
    """What is in a bundle, all of it verified."""
    from builder.sources.bundle_file import open_bundle

    if arguments.operands or arguments.one("output"):
        raise UsageError("--list reads a bundle and makes none", hint="rbuild bundle --list FILE")
    file = open_bundle(path)
    file.close()
    if arguments.flag("json"):
        rows = [row._asdict() for row in _rows(file.bundle)]
        shown = {"digest": file.identity, "base": file.bundle.base or None, "sources": rows}
        console.out(json.dumps(shown, indent=2, ensure_ascii=False) + "\n")
    else:
        console.out(_table(file.bundle))
        if file.bundle.base:
            console.out(f"stands on the bundle {file.bundle.base}\n")
    return 0


def _rows(bundle: Bundle) -> Iterator[Row]:
    for image in bundle.images:
        name = image.reference or image.names[0]
        yield Row("image", name, str(image.platform), image.size, image.manifest.digest)
    for steps in bundle.steps:
        yield Row("cache", _steps(steps), str(steps.platform), steps.blob.size, steps.blob.digest)
    for file in bundle.files:
        yield Row("url", file.url, "", file.blob.size, file.blob.digest)
    for one in bundle.checkouts:
        yield Row("git", _address(one), "", one.blob.size, one.blob.digest, one.commit)


def _steps(one: StepsSource) -> str:
    return f"{one.stage}: {one.number} step" + ("" if one.number == 1 else "s")


def _address(one: CheckoutSource) -> str:
    """As a Dockerfile may write it."""
    said = (
        ("keep-git-dir=1", one.keep_git_dir),
        ("submodules=0", not one.submodules),
        ("mtime=commit", one.commit_times),
    )
    query = "&".join(text for text, holds in said if holds)
    place = one.ref + (f":{one.subdir}" if one.subdir else "")
    return one.remote + (f"?{query}" if query else "") + (f"#{place}" if place else "")


def _table(bundle: Bundle) -> str:
    cells = [("KIND", "NAME", "PLATFORM", "SIZE", "DIGEST")]
    for row in _rows(bundle):
        digest = row.commit or row.digest.removeprefix("sha256:")
        cells.append((row.kind, row.name, row.platform, size(row.size), digest[:12]))
    widths = [max(len(each[column]) for each in cells) for column in range(5)]
    lines = ("  ".join(text.ljust(width) for text, width in zip(each, widths, strict=True)) for each in cells)
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _count(bundle: Bundle) -> str:
    number = sum(1 for _ in _rows(bundle))
    return f"{number} source" + ("" if number == 1 else "s")


def _shown(dest: str) -> str:
    return "standard output" if dest == "-" else dest
