"""One call of the layer engine in a process of its own: what it took, as JSON, without the start of Python.

call.py pack TREE OUT COMPRESSION [LOWER...]     the layer that TREE makes over LOWER..., into the file OUT
call.py unpack LAYER TREE                        the layer in the file LAYER, into the new tree TREE
call.py diff TIMES TREE LOWER...                 `pack`, so often, of what weighs nothing: seconds of one
call.py packs AT_ONCE OUT TREE...                a layer of each tree, so many at a time
"""

from __future__ import annotations

import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, get_args

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from builder.layers.codec import Compression
from builder.layers.pack import Packed, pack_diff
from builder.layers.unpack import unpack

FAR = 2**40


def pack(tree: str, out: str, compression: Compression, *lowers: str) -> Packed:
    with open(out, "wb", buffering=0) as file:
        return pack_diff(tree, lowers, file, owners="recorded", clamp=FAR, compression=compression)


def unpack_layer(layer: str, tree: str) -> None:
    with open(layer, "rb", buffering=0) as file:
        unpack(file, tree, owners="recorded")


def pack_each(at_once: str, out: str, *trees: str) -> None:
    with ThreadPoolExecutor(int(at_once)) as pool:
        list(pool.map(lambda tree: pack(tree, f"{out}/{os.path.basename(tree)}.layer", "gzip"), trees))


def no_change(times: str, tree: str, *lowers: str) -> None:
    for _ in range(int(times)):
        pack_diff(tree, lowers, io.BytesIO(), owners="recorded", clamp=FAR)


CALLS: dict[str, Callable[..., object]] = {
    "pack": pack,
    "unpack": unpack_layer,
    "packs": pack_each,
    "diff": no_change,
}


class Took(NamedTuple):
    """What a piece of work took, 0 where nobody looked.

    `seconds` and `cpu` are of the call alone, `peak` is bytes of memory of the whole process, `read` and
    `written` are bytes of read(2) and write(2) and their kin in all threads (proc(5), /proc/pid/io).
    """

    seconds: float
    cpu: float
    peak: int = 0
    read: int = 0
    written: int = 0


def call(*arguments: str | Path, memory: int = 0) -> Took:
    """One call in a new process, which may have so many bytes of data and stacks (RLIMIT_DATA); 0 is no limit."""
    words = [sys.executable, __file__, str(memory), *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Took(**json.loads(done.stdout))


def peak_memory() -> int:
    """Of this program alone: what getrusage tells is also of the process that started it."""
    return int(_field("/proc/self/status", "VmHWM:")) * 1024


def _field(path: str, name: str) -> str:
    with open(path) as file:
        return next(line.split()[1] for line in file if line.startswith(name))


def _snapshot() -> Took:
    read, written = (int(_field("/proc/self/io", name)) for name in ("rchar:", "wchar:"))
    return Took(time.perf_counter(), time.process_time(), peak_memory(), read, written)


def _import_all() -> None:
    """What is imported when it is needed is not the work of a layer: a layer of nothing needs it, too."""
    with tempfile.TemporaryDirectory() as tree:
        os.mkdir(f"{tree}/diff")
        for compression in get_args(Compression):
            pack_diff(tree, [], io.BytesIO(), owners="recorded", clamp=FAR, compression=compression)


def main() -> None:
    memory, name, *arguments = sys.argv[1:]
    if int(memory):
        resource.setrlimit(resource.RLIMIT_DATA, (int(memory), int(memory)))
    _import_all()
    before = _snapshot()
    CALLS[name](*arguments)
    after = _snapshot()
    took = [now - then for now, then in zip(after, before, strict=True)]
    print(json.dumps(Took(*took)._replace(peak=after.peak)._asdict()))


if __name__ == "__main__":
    main()
