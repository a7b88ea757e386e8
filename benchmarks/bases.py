"""Rows that are whole builds: they need an image in a store, and the command as its user calls it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import race
import trees
from builders import ROOT, Rbuild
from race import Contender, Row, Took, call, command, shell

sys.path.insert(0, str(ROOT / "examples"))
import demo

from tests.support import layer_call

LARGE, SMALL = 500_000, 500
STEPS = 10
CONTEXT_FILES = 100_000
DIFFS = 20


def build(rbuild: Rbuild, context: Path, *arguments: str | Path) -> Took:
    words = [rbuild.command, "--quiet", *arguments, context]
    return command(*words, RBUILD_STORE=str(rbuild.store))


def context_of(directory: Path, *lines: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "Dockerfile").write_text("\n".join([*lines, ""]))
    return directory


def removed(path: Path) -> Path:
    Rbuild(path).close()
    return path


# unpack


def unpacking(place: Path, go: Path) -> tuple[dict[str, Contender], dict[str, float]]:
    """The base comes as registries have it: one stream of gzip."""
    layer, store = place / "go.tar.gz", place / "unpack"
    shell('tar -C "$1" --numeric-owner --owner=0 --group=0 -czf "$2" .', go / "diff", layer)
    trees.put_image(store, "go", layer)
    rbuild, context = Rbuild(store), context_of(place / "from-go", "FROM go", "COPY Dockerfile /")
    target, layout = place / "unpacked", place / "layout"
    contenders: dict[str, Contender] = {
        "rbuild": partial(unpack_base, rbuild, context),
        "tar -xzf": lambda: shell('mkdir "$1" && tar -C "$1" -xzf "$2"', removed(target), layer),
    }
    if shutil.which("umoci"):
        build(rbuild, context, "-o", f"type=oci,tar=false,dest={layout}", "-t", "go-and-one:latest")
        contenders["umoci unpack"] = partial(umoci, layout, target)
    else:
        print("umoci takes no part: it is not installed")
    return contenders, {"tar -xzf": 1 / 0.6, "umoci unpack": 3}


def unpack_base(rbuild: Rbuild, context: Path) -> Took:
    for trees_of_layers in (rbuild.store / "layers").iterdir():
        removed(trees_of_layers)
        trees_of_layers.mkdir()
    return build(rbuild, context, "--no-cache")


def umoci(layout: Path, target: Path) -> Took:
    rootless = [] if os.geteuid() == 0 else ["--rootless"]
    return command("umoci", "unpack", *rootless, "--image", f"{layout}:latest", removed(target))


# diff


def diff_of_nothing(place: Path, rounds: int) -> Iterator[Row]:
    """RUN true on a large base beside a small one: whole steps, and the diff alone with its calls of the kernel."""
    store = place / "diff"
    sizes = (LARGE, SMALL)
    for size in sizes:
        layers = [busybox_layer(place), trees.many_entries(place / f"{size}.gz", size, 100)]
        trees.put_image(store, f"files{size}", *layers)
        build(Rbuild(store), steps_on(place, size, 1))
    steps = race.race({f"rbuild on {size:,}": partial(step_on, place, store, size) for size in sizes}, rounds)
    yield from race.compared(f"RUN true on {LARGE:,} files", steps, {})
    diffs = race.race({f"rbuild on {size:,}": partial(diff_on, place, store, size) for size in sizes}, rounds)
    for what, sample in zip((f"its diff, {LARGE:,} files", f"its diff, {SMALL:,} files"), diffs.values(), strict=True):
        verdict = f"{1000 * sample.seconds:.2f} ms  goal < 10 ms"
        yield Row(what, "rbuild", race.figures(sample), verdict, sample.seconds < 0.01)
    yield calls_of_the_kernel(place, store)


def steps_on(place: Path, size: int, steps: int) -> Path:
    run = 'RUN ["/bin/busybox", "true"]'
    return context_of(place / f"steps-{size}-{steps}", f"FROM files{size}", *[run] * steps)


def step_on(place: Path, store: Path, size: int) -> Took:
    """One of ten steps, without the build around them."""
    many = build(Rbuild(store), steps_on(place, size, STEPS + 1), "--no-cache")
    one = build(Rbuild(store), steps_on(place, size, 1), "--no-cache")
    return Took((many.seconds - one.seconds) / STEPS, (many.cpu - one.cpu) / STEPS)


def diff_on(place: Path, store: Path, size: int) -> Took:
    whole = call("diff", DIFFS, *diff_trees(place, store, size))
    return Took(whole.seconds / DIFFS, whole.cpu / DIFFS)


def diff_trees(place: Path, store: Path, size: int) -> tuple[Path, Path]:
    """An empty tree, and the base as it is unpacked in the store."""
    (place / "nothing" / "diff").mkdir(parents=True, exist_ok=True)
    first = f"diff/d{(size - 1) // 100}"
    both = [tree for tree in (store / "layers").glob("*/*") if (tree / first).exists()]
    return place / "nothing", min(both, key=lambda tree: len(list((tree / "diff").iterdir())))


def calls_of_the_kernel(place: Path, store: Path) -> Row:
    if shutil.which("strace") is None:
        return Row("  its calls of the kernel", "strace", "takes no part: it is not installed")
    large, small = (kernel_calls(diff_trees(place, store, size), place) for size in (LARGE, SMALL))
    return Row("  its calls of the kernel", "rbuild", "", f"{large} and {small}  goal: the same", large == small)


def kernel_calls(of: tuple[Path, Path], place: Path) -> int:
    """Of one diff: those of a process that makes eleven, less those of one that makes one, by ten."""
    counts = []
    for times in (11, 1):
        trace = place / "calls"
        words = ["strace", "-f", "-c", "-o", trace, sys.executable, layer_call.__file__, "0", "diff", times, *of]
        subprocess.run(list(map(str, words)), stdout=subprocess.DEVNULL, check=True)
        counts.append(int(trace.read_text().splitlines()[-1].split()[3]))
    return round((counts[0] - counts[1]) / 10)


def busybox_layer(place: Path) -> Path:
    layer, root = place / "busybox.gz", place / "busybox-root"
    if not layer.exists():
        (root / "bin").mkdir(parents=True)
        shutil.copy(demo.find_busybox(), root / "bin" / "busybox")
        shell('tar -C "$1" --numeric-owner --owner=0 --group=0 -czf "$2" .', root, layer)
    return layer


# copy


def copying(place: Path, go: Path) -> tuple[dict[str, Contender], dict[str, float]]:
    """Into a stage that no image contains, so that no layer is packed."""
    layer, store, target = place / "one-go.tar.gz", place / "copy", place / "copied"
    shell('tar -C "$1" --numeric-owner --owner=0 --group=0 -czf "$2" a', go / "diff", layer)
    trees.put_image(store, "go", layer)
    lines = ("FROM scratch AS middle", "COPY --from=go /a /b", "FROM scratch", "COPY --from=middle /b/go/VERSION /")
    rbuild, context = Rbuild(store), context_of(place / "copy-context", *lines)
    build(rbuild, context)
    (source,) = (store / "layers").glob("*/*/diff/a")
    contenders: dict[str, Contender] = {
        "rbuild": lambda: build(rbuild, context, "--no-cache"),
        "cp -a": lambda: command("cp", "-a", source, removed(target)),
    }
    return contenders, {"cp -a": 2}


# context


def cached_context(place: Path, rounds: int) -> Iterator[Row]:
    context = trees.small_files(place / "context", CONTEXT_FILES)
    context_of(context, "FROM scratch", "COPY diff /")
    rbuild = Rbuild(place / "context-store")
    build(rbuild, context)
    samples = race.race({"rbuild": lambda: build(rbuild, context), "du": lambda: command("du", "-s", context)}, rounds)
    yield from race.compared(f"cached, {CONTEXT_FILES:,} files of context", samples, {})
    seconds = samples["rbuild"].seconds
    yield Row("", "rbuild", "", f"{seconds:.2f} s  goal < 0.5 s", seconds < 0.5)
    yield from calls_for_files(rbuild, context, place)


def calls_for_files(rbuild: Rbuild, context: Path, place: Path) -> Iterator[Row]:
    if shutil.which("strace") is None:
        print("strace takes no part: it is not installed")
        return
    trace = place / "calls"
    words = ["strace", "-f", "-c", "-o", str(trace), rbuild.command, "--quiet", str(context)]
    subprocess.run(words, env={**os.environ, "RBUILD_STORE": str(rbuild.store)}, stdout=subprocess.DEVNULL, check=True)
    counts = {line.split()[-1]: int(line.split()[3]) for line in trace.read_text().splitlines()[2:-2]}
    each = {name: counts.get(name, 0) / CONTEXT_FILES for name in ("statx", "newfstatat", "openat", "openat2", "read")}
    stats = each["statx"] + each["newfstatat"]
    told = ", ".join(f"{number:.2f} {name}" for name, number in each.items() if number >= 0.01)
    met = stats < 1.1 and each["read"] < 0.01
    yield Row("  calls for each file", "rbuild", "", f"{told}  goal: one stat, no read", met)
