"""Programs of other platforms: natively, by the host's binfmt_misc handlers, or by handlers of our own.

    try      a program that only ends with 0, in an empty root: nothing of the host is reachable there
    else     mount a binfmt_misc of our user namespace (Linux 6.7) and register QEMU in it with flag F, which opens
             the interpreter at once: nothing of it has to be in the image, and every exec below finds it

A namespace with a binfmt_misc of its own no longer sees the host's, so the host's handlers are taken over.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, NoReturn

from builder import _native
from builder.errors import SandboxError
from builder.sandbox import elf, userns
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.sandbox.tiers import Tier

HOST_HANDLERS = "/proc/sys/fs/binfmt_misc"
FLAGS = "POF"  # argv[0] is kept, the program comes as a descriptor, the interpreter is opened at registration
BUILT_IN = ("386", "arm")  # may run without emulation on a 64-bit machine


class Handler(NamedTuple):
    name: str
    offset: int
    magic: bytes
    mask: bytes
    interpreter: str


_lock = threading.Lock()
_running: dict[str, str] = {}  # architecture → how; a fact about this process, as its namespace is
_own: list[int] = []  # the descriptor of our binfmt_misc: it lives as long as this process


def prepare(platform: str, room: str) -> str:
    """Make programs of `platform` run in this user namespace; tells how. SandboxError that says what to install.

    `room` is a directory in which programs may be executed. Needs userns.enter() first.
    """
    system, _, rest = platform.partition("/")
    architecture = rest.partition("/")[0]
    with _lock:
        if architecture not in _running:
            _running[architecture] = _prepare(platform, system, architecture, room)
        return _running[architecture]


def _prepare(platform: str, system: str, architecture: str, room: str) -> str:
    machine = elf.MACHINES.get(architecture)
    if system != "linux" or machine is None:
        raise SandboxError(f"a RUN for {platform} cannot be executed on this machine")
    if works(machine, room):
        return "natively" if architecture in BUILT_IN and not _host_has(machine) else "by the host's binfmt_misc"
    interpreter = find_interpreter(machine)
    if interpreter is None:
        raise SandboxError(_nothing_found(platform, machine), hint=_INSTALL)
    try:
        _register(_handler(machine, interpreter))
    except OSError as error:
        raise SandboxError(
            f"a RUN for {platform} needs {interpreter} registered, and this kernel gives user namespaces no "
            f"binfmt_misc ({os.strerror(error.errno or 0)}; Linux 6.7 has it)",
            hint="as root: apt-get install qemu-user-static binfmt-support",
        ) from error
    if not works(machine, room):
        raise SandboxError(f"a RUN for {platform}: {interpreter} does not run its programs", hint=_INSTALL)
    return f"by {interpreter}"


_INSTALL = "as root: apt-get install qemu-user-static (with binfmt-support where Linux is older than 6.7)"


def _nothing_found(platform: str, machine: elf.Machine) -> str:
    return (
        f"a RUN for {platform} cannot be executed here: this is a machine of {os.uname().machine}, no handler for "
        f"{machine.name} with flag F is in {HOST_HANDLERS}, and no static qemu-{machine.name}-static or "
        f"qemu-{machine.name} is on PATH"
    )


def works(machine: elf.Machine, room: str) -> bool:
    """By trying, where nothing but the program itself can be reached."""
    import shutil
    import tempfile

    directory = tempfile.mkdtemp(prefix="exec-", dir=room)
    try:
        with open(f"{directory}/exit", "xb") as file:
            file.write(elf.exit_program(machine))
        os.chmod(f"{directory}/exit", 0o755)
        return _run_in_empty_root(directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _run_in_empty_root(directory: str) -> bool:
    pid = os.fork()
    if pid == 0:
        try:
            os.chroot(directory)
            os.chdir("/")
            os.execve("/exit", ["/exit"], {})  # noqa: S606
        finally:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    return status == 0


def find_interpreter(machine: elf.Machine) -> str | None:
    """A static QEMU: from PATH, else the one that a handler of the host names."""
    import shutil

    names = (f"qemu-{machine.name}-static", f"qemu-{machine.name}")
    found = [path for path in map(shutil.which, names) if path]
    found += [handler.interpreter for handler in host_handlers() if _is_for(handler, machine)]
    return next((path for path in found if _is_static(path)), None)


def _is_static(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            content = file.read(4096)
        return elf.architecture(content) is not None and elf.is_static(content)
    except (OSError, ValueError, IndexError):
        return False


def _host_has(machine: elf.Machine) -> bool:
    return any(_is_for(handler, machine) for handler in host_handlers())


def _is_for(handler: Handler, machine: elf.Machine) -> bool:
    """Whether a handler takes the header of `machine`'s programs."""
    wanted = elf.exit_program(machine)[handler.offset :]
    mask = handler.mask or b"\xff" * len(handler.magic)
    return bool(handler.magic) and all(w & m == g & m for w, m, g in zip(wanted, mask, handler.magic, strict=False))


# ---- binfmt_misc ----------------------------------------------------------------------------------------


def host_handlers(directory: str = HOST_HANDLERS) -> Iterator[Handler]:
    """The enabled handlers that tell programs by their first bytes (Documentation/admin-guide/binfmt-misc.rst)."""
    try:
        names = sorted(set(os.listdir(directory)) - {"register", "status"})
    except OSError:
        return
    for name in names:
        try:
            with open(f"{directory}/{name}") as file:
                handler = parse_handler(name, file.read())
        except (OSError, ValueError):
            continue
        if handler:
            yield handler


def parse_handler(name: str, text: str) -> Handler | None:
    first, *lines = text.splitlines() or [""]
    fields = dict(line.split(" ", 1) for line in lines if " " in line)
    if first != "enabled" or "magic" not in fields or "interpreter" not in fields:
        return None
    magic, mask = bytes.fromhex(fields["magic"]), bytes.fromhex(fields.get("mask", ""))
    return Handler(name, int(fields.get("offset", "0")), magic, mask, fields["interpreter"])


def _handler(machine: elf.Machine, interpreter: str) -> Handler:
    return Handler(f"qemu-{machine.name}", 0, *elf.magic(machine), interpreter)


def registration(handler: Handler) -> bytes:
    """The line for `register`. Bytes are written as escapes: a NUL or a colon would end a field."""
    magic, mask = ("".join(f"\\x{byte:02x}" for byte in field) for field in (handler.magic, handler.mask))
    line = f":{handler.name}:M:{handler.offset or ''}:{magic}:{mask}:{handler.interpreter}:{FLAGS}"
    return os.fsencode(line)


def _register(handler: Handler) -> None:
    inherited = () if _own else tuple(host_handlers())
    if not _own:
        _own.append(_native.mount_detached(b"binfmt_misc"))
    for other in inherited:
        try:
            _write_registration(other)
        except OSError:
            continue  # its interpreter is gone, or is not for us
    _write_registration(handler._replace(name=f"rbuild-{handler.name}"))


def _write_registration(handler: Handler) -> None:
    fd = os.open("register", os.O_WRONLY | os.O_CLOEXEC, dir_fd=_own[0])
    try:
        os.write(fd, registration(handler))
    finally:
        os.close(fd)


# ---- for rbuild doctor ----------------------------------------------------------------------------------


def survey(tier: Tier, room: str) -> dict[str, str]:
    """Architecture → how its programs run in `tier`, "" where they do not. In a child, which enters the tier."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        _tell(tier, room, write)
    os.close(write)
    with open(read, encoding="utf-8") as file:
        rows = [(name, how) for name, _, how in (line.rstrip("\n").partition("\t") for line in file)]
    os.waitpid(pid, 0)
    return dict(rows)


def _tell(tier: Tier, room: str, write: int) -> NoReturn:
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what QEMU says of a program that it cannot run
        userns.enter(tier)
        for name in elf.MACHINES:
            os.write(write, f"{name}\t{_how(name, room)}\n".encode())
    finally:
        os._exit(0)


def _how(architecture: str, room: str) -> str:
    if elf.MACHINES[architecture].name == os.uname().machine:
        return "natively"
    try:
        return prepare(f"linux/{architecture}", room)
    except SandboxError:
        return ""
