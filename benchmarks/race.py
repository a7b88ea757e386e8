"""Contenders take turns at one piece of work, and the table says who was faster by how much.

    work                          who              wall       CPU    ours is
    pack, no compression          rbuild          610 ms    640 ms
                                  tar             540 ms    560 ms    0.89 x as fast   goal >= 0.9 x: missed

Wall time is the median of the rounds; CPU time (user and system) is of the same round.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from builders import ROOT

sys.path.insert(0, str(ROOT))
from tests.support.layer_call import Took, call

__all__ = ["Contender", "Row", "Took", "call", "command", "compared", "figures", "race", "shell", "show"]

Contender = Callable[[], Took]


class Row(NamedTuple):
    """`met` is None where there is no goal."""

    what: str
    who: str
    figures: str
    verdict: str = ""
    met: bool | None = None


def command(*words: str | Path, **environment: str) -> Took:
    """A program as its user meets it: from its start to its end."""
    before, wall = os.times(), time.perf_counter()
    environment = {**os.environ, **environment}
    done = subprocess.run(list(map(str, words)), env=environment, capture_output=True, check=False)
    wall = time.perf_counter() - wall
    after = os.times()
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))}: {done.stderr.decode(errors='replace')}")
    return Took(wall, after.children_user + after.children_system - before.children_user - before.children_system)


def shell(script: str, *arguments: str | Path) -> Took:
    """A pipeline; `arguments` are $1 and so on."""
    return command("sh", "-c", script, "sh", *arguments)


def race(contenders: Mapping[str, Contender], rounds: int) -> dict[str, Took]:
    """The median round of each. They take turns, for the machine is not always the same."""
    samples: dict[str, list[Took]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            samples[name].append(contender())
    return {name: sorted(found)[(len(found) - 1) // 2] for name, found in samples.items()}


def compared(what: str, samples: Mapping[str, Took], goals: Mapping[str, float]) -> Iterator[Row]:
    """The first contender is ours. A goal says how many times as fast as that peer we want to be."""
    ours, *peers = samples.items()
    yield Row(what, ours[0], figures(ours[1]))
    for name, peer in peers:
        ratio = peer.seconds / ours[1].seconds
        goal = goals.get(name)
        met = None if goal is None else ratio >= goal
        wanted = "" if goal is None else f"goal >= {goal:.2g} x"
        yield Row("", name, figures(peer), f"{ratio:>7.2f} x as fast  {wanted}".rstrip(), met)


def figures(sample: Took) -> str:
    return f"{1000 * sample.seconds:>10,.1f} ms{1000 * sample.cpu:>10,.1f} ms"


def show(rows: Iterator[Row] | Sequence[Row]) -> None:
    for row in rows:
        verdict = row.verdict if row.met is None else f"{row.verdict}: {'met' if row.met else 'MISSED'}"
        print(f"{row.what:<40}{row.who:<24}{row.figures:<28}{verdict}".rstrip(), flush=True)
