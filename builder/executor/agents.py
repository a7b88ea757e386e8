"""RUN --mount=type=ssh: a socket for the step, behind which the agent of the host answers.

    step ─► socket of the step (mode, uid, gid as asked) ─► a thread of ours ─► the agent's socket

An agent answers only its own user, and a step may be somebody else: so the builder passes bytes on.
Key files are given to an agent of our own, which ends with the step or with us.
"""

from __future__ import annotations

import os
import socket
import threading
from typing import TYPE_CHECKING

from builder.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import ExitStack

    from builder.graph.ops import MountPoint

PIECE = 1 << 16
_SOCKET = "own"
_HINT = "start one with: eval $(ssh-agent); ssh-add, or name a socket or key with --ssh ID=PATH"


def forward(
    mount: MountPoint, agents: Mapping[str, tuple[str, ...]], room: str, stack: ExitStack, *, many_ids: bool
) -> str | None:
    """The path of a socket to mount, served until `stack` closes; None when the build was given no such agent."""
    if mount.id not in agents:
        return None
    os.makedirs(room, mode=0o700)
    upstream = _upstream(mount.id, agents[mount.id], room, stack)
    path = f"{room}/agent"
    listener = stack.enter_context(socket.socket(socket.AF_UNIX))
    _with_short_name(room, "agent", listener.bind)
    if many_ids:
        os.chown(path, mount.uid, mount.gid)
    os.chmod(path, mount.mode)
    listener.listen()
    stack.callback(listener.shutdown, socket.SHUT_RDWR)
    threading.Thread(target=_serve, args=(listener, upstream), daemon=True).start()
    return path


def _upstream(name: str, paths: tuple[str, ...], room: str, stack: ExitStack) -> str:
    if not paths:
        found = os.environ.get("SSH_AUTH_SOCK")
        if not found:
            raise BuildError(f"--ssh {name}: SSH_AUTH_SOCK is not set", hint=_HINT)
        return found
    missing = next((path for path in paths if not os.path.exists(path)), None)
    if missing:
        raise BuildError(f"--ssh {name}: {missing} does not exist", hint=_HINT)
    if len(paths) == 1 and not os.path.isfile(paths[0]):
        return paths[0]
    return _own_agent(name, paths, room, stack)


def _own_agent(name: str, keys: tuple[str, ...], room: str, stack: ExitStack) -> str:
    """An agent that holds `keys`. It ends at once when the cat whose input we hold open does, even if we are killed.

    Its socket is in the room, which is swept when nobody holds it any more, and named from there: it may lie deep.
    """
    import subprocess

    path = f"{room}/{_SOCKET}"
    try:
        agent = subprocess.Popen(
            ["ssh-agent", "-a", _SOCKET, "sh", "-c", "echo up; cat; kill $SSH_AGENT_PID"],
            cwd=room,
            start_new_session=True,  # who kills all of our group shall not kill those that clean up
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        stack.callback(agent.wait)
        assert agent.stdin and agent.stdout
        stack.callback(agent.stdout.close)
        stack.callback(agent.stdin.close)
        agent.stdout.readline()  # it listens by now
        for key in keys:
            _add(name, os.path.abspath(key), room)
    except FileNotFoundError as error:
        raise BuildError(f"--ssh {name}: {error.filename} is not installed", hint="install openssh-client") from error
    return path


def _add(name: str, key: str, room: str) -> None:
    import subprocess

    environment = {**os.environ, "SSH_AUTH_SOCK": _SOCKET, "SSH_ASKPASS_REQUIRE": "never"}
    done = subprocess.run(
        ["ssh-add", "-q", key],
        cwd=room,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        reason = done.stderr.strip() or "it may need a passphrase"
        raise BuildError(f"--ssh {name}: cannot use the key {key}: {reason}", hint="add it to an agent, and name that")


def _with_short_name(directory: str, name: str, call: Callable[[str], object]) -> None:
    """Sockets have names of at most 107 bytes, and a store may lie deep."""
    fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        call(f"/proc/self/fd/{fd}/{name}")
    finally:
        os.close(fd)


def _serve(listener: socket.socket, upstream: str) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_pass_on, args=(client, upstream), daemon=True).start()


def _pass_on(client: socket.socket, upstream: str) -> None:
    with client, socket.socket(socket.AF_UNIX) as agent:
        try:
            _with_short_name(os.path.dirname(upstream) or ".", os.path.basename(upstream), agent.connect)
            back = threading.Thread(target=_pump, args=(agent, client), daemon=True)
            back.start()
            _pump(client, agent)
            back.join()
        except OSError:
            return


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while piece := source.recv(PIECE):
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        return
