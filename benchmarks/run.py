"""What a build costs, beside what it cannot cost less than, and beside Debian's buildah in the same run.

    cached      the guide again, nothing changed        beside  a bare interpreter
    steps       30 x RUN true, each a layer             beside  30 x fork and exec of the same program
    files       COPY of 20,000 files                    beside  cp -a
    plan        10,000 and 20,000 instructions          beside  1,000 of the same
    registry    pull and push of 500 MB in 20 layers    beside  skopeo
    layers      the layer engine, see layers.py         beside  tar, openssl, pigz, zstd, umoci, cp

Times are medians, those of plans processor time. A peer that is missing or cannot run here is named and left out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple

from builders import ROOT, Buildah, Builder, Missing, Rbuild, workplace

sys.path.insert(0, str(ROOT / "examples"))
import demo
import layers
import registry

STEPS = 30
FILES = 20_000
LINES = ("ENV N{0}=v", "COPY a /{0}", "RUN echo {0}")
SIZES = (1, 1_000, 10_000, 20_000)


class Row(NamedTuple):
    """One line of the table: seconds, beside the least that they could be."""

    what: str
    who: str
    seconds: float
    baseline: float
    goal: str = ""


def main() -> None:
    with workplace() as place:
        busybox = demo.find_busybox()
        builders = present(place, busybox)
        for benchmark in (cached_guide, run_steps, copy_files, plan_long_files):
            print_rows(benchmark(place, busybox, builders))
        for builder in builders:
            builder.close()
        registry.report(place)
        layers.report(place, layers.ROUNDS)


def present(place: Path, busybox: Path) -> list[Builder]:
    builders: list[Builder] = [Rbuild(place / "rbuild")]
    try:
        builders.append(Buildah(place / "buildah", steps_context(place / "probe", busybox, 1)))
    except Missing as reason:
        print(f"buildah takes no part: {reason}")
    return builders


# Each benchmark: its rows, the first of which is the floor that the others are compared with.


def cached_guide(place: Path, busybox: Path, builders: list[Builder]) -> list[Row]:
    """The store of `make demo` serves; what is missing in it is built first, and not timed."""
    os.environ.setdefault("RBUILD_STORE", str(demo.CACHE / "store"))
    demo.build_base(demo.stage_base_context())
    demo.build_shape("buildme-client", "Dockerfile", "client")
    rbuild = Rbuild(Path(os.environ["RBUILD_STORE"]))
    floor = typical(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True), 20)
    build = typical(lambda: rbuild.run("-t", "buildme-client", "--target", "client", str(demo.GUIDE)), 20)
    what = "cached rebuild of the guide"
    return [Row(what, "python3 -c pass", floor, floor), Row(what, "rbuild", build, floor, "<= 6 x")]


def run_steps(place: Path, busybox: Path, builders: list[Builder]) -> list[Row]:
    """The cost of one RUN: a build with 30 of them less a build with none, divided by 30."""
    some = steps_context(place / "some", busybox, STEPS)
    none = steps_context(place / "none", busybox, 0)
    shell = [str(busybox), "sh", "-c", "true"]
    floor = typical(lambda: subprocess.run(shell, check=True), STEPS)
    rows = [Row("one RUN true", "fork and exec", floor, floor)]
    for builder in builders:
        whole, rest = typical(build(builder, some), 2), typical(build(builder, none), 2)
        goal = "<= 15 ms, a fifth of buildah's" if builder.name == "rbuild" else ""
        rows.append(Row("one RUN true", builder.name, (whole - rest) / STEPS, floor, goal))
    return rows


def copy_files(place: Path, busybox: Path, builders: list[Builder]) -> list[Row]:
    context = files_context(place / "files")
    what = f"COPY of {FILES:,} files"
    floor = typical(lambda: copy_tree(context, Path(tempfile.mkdtemp(dir=place))), 3)
    rows = [Row(what, "cp -a", floor, floor)]
    for builder in builders:
        rows.append(Row(what, builder.name, typical(build(builder, context), 2), floor))
        again = typical(build(builder, context, cached=True), 2)
        rows.append(Row(f"{what}, again", builder.name, again, floor))
    return rows


def plan_long_files(place: Path, busybox: Path, builders: list[Builder]) -> list[Row]:
    """What each size costs beyond a file of one instruction."""
    rbuild = Rbuild(place / "plans")
    return [row for line in LINES for row in plan_rows(place, rbuild, line)]


def plan_rows(place: Path, rbuild: Rbuild, line: str) -> Iterator[Row]:
    name = line.split(maxsplit=1)[0]
    contexts = {count: long_context(place / f"{name}{count}", line, count) for count in SIZES}
    seconds = {count: processor_time(lambda: rbuild.plan(contexts[count])) for count in SIZES}  # noqa: B023
    floor = seconds[1_000] - seconds[1]
    for count in SIZES[1:]:
        goal = "<= 1000 ms, 15 x" if count == 10_000 else ""
        yield Row(f"plan of {count:,} {name}", "rbuild", seconds[count] - seconds[1], floor, goal)


def build(builder: Builder, context: Path, *, cached: bool = False) -> Callable[[], None]:
    if cached:
        builder.build(context, cached=True)  # fills the cache
    return lambda: builder.build(context, cached=cached)


def copy_tree(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-a", f"{source}/.", target], check=True)


# Contexts


def steps_context(context: Path, busybox: Path, steps: int) -> Path:
    context.mkdir()
    shutil.copy(busybox, context / "busybox")
    lines = ["FROM scratch", "COPY busybox /bin/busybox", "COPY busybox /bin/sh", *["RUN true"] * steps]
    (context / "Dockerfile").write_text("\n".join([*lines, ""]))
    return context


def files_context(context: Path) -> Path:
    for number in range(FILES):
        path = context / f"d{number % 200}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{number}\n" * 100)
    (context / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    return context


def long_context(context: Path, line: str, count: int) -> Path:
    context.mkdir()
    lines = ["FROM scratch", *(line.format(number) for number in range(count)), ""]
    (context / "Dockerfile").write_text("\n".join(lines))
    return context


# Time and table


def typical(action: Callable[[], object], times: int) -> float:
    """The median of `times` runs, after one that warms the page cache."""
    action()
    return median(timed(action) for _ in range(times))


def processor_time(action: Callable[[], object]) -> float:
    """What the processes that `action` starts take of the processor: not what the machine does beside."""
    before = os.times()
    action()
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def print_rows(rows: list[Row]) -> None:
    print()
    for row in rows:
        ratio = f"{row.seconds / row.baseline:.1f} x"
        print(f"{row.what:<32}{row.who:<28}{1000 * row.seconds:>10.1f} ms{ratio:>10}  {row.goal}".rstrip())


if __name__ == "__main__":
    main()
