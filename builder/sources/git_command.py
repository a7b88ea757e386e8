"""Runs the host's git in a clean environment: no configuration of the user's or the machine's, no prompt, no hook.

Credentials go by the environment, where other users' `ps` does not show them, and to one server only.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from builder.errors import BuildError, Cancelled, NetworkError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from builder.events import Flag

_SILENCE = 180.0
_KEPT = ("PATH", "HOME", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH")
# What git calls the variables that name authorities for everything else: it does not look at those itself.
_TRUST = (("GIT_SSL_CAINFO", "SSL_CERT_FILE"), ("GIT_SSL_CAPATH", "SSL_CERT_DIR"))
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
# -F: a Host line of the user's could run any program. Keys come from the agent that --ssh names, and from nowhere else.
_SSH = "ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=yes -o IdentityFile=none -o ConnectTimeout=30"
_SETTINGS = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.autocrlf": "false",
    "core.symlinks": "true",
    "core.logAllRefUpdates": "false",
    "credential.helper": "",
    "fetch.recurseSubmodules": "false",
    "gc.auto": "0",
    "http.lowSpeedLimit": "1",
    "http.lowSpeedTime": "60",
    "init.defaultBranch": "main",
    "protocol.ext.allow": "never",
    "safe.directory": "*",
    "transfer.bundleURI": "false",
    "uploadpack.allowAnySHA1InWant": "true",
}


class GitFailed(Exception):
    """git said no; `text` is what it said."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Git:
    """`agent` is the socket of the ssh agent, "" for none."""

    def __init__(self, cancelled: Flag, agent: str = "", silence: float = _SILENCE) -> None:
        self._cancelled = cancelled
        self._agent = agent
        self._silence = silence

    def run(
        self,
        *words: str,
        allow: str = "none",
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, str] | None = None,
        stdin: bytes = b"",
    ) -> bytes:
        """What `git words…` prints. `allow` are the protocols it may speak, separated by colons. Raises GitFailed."""
        import subprocess

        environment = {**_environment(self._agent, allow, headers or {}), **(extra or {})}
        try:
            process = subprocess.Popen(
                ["git", *words],
                env=environment,
                cwd="/",
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                umask=0o022,
                start_new_session=True,
            )
        except FileNotFoundError:
            raise BuildError("git is not installed", hint="install git: repositories are read with it") from None
        printed, told = _Talk(process, stdin, self._cancelled, self._silence).wait()
        if process.returncode:
            raise GitFailed(told.decode("utf-8", "replace").strip())
        return printed


def _environment(agent: str, allow: str, headers: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in _KEPT or name.lower() in _PROXIES}
    trusted = {own: kept[common] for own, common in _TRUST if common in kept}
    settings = [
        *_SETTINGS.items(),
        *((f"http.{url}.extraHeader", f"Authorization: {header}") for url, header in headers.items()),
    ]
    if headers:
        # git would go on sending the header to wherever it was redirected.
        settings.append(("http.followRedirects", "false"))
    numbered = {"GIT_CONFIG_COUNT": str(len(settings))}
    for number, (key, value) in enumerate(settings):
        numbered[f"GIT_CONFIG_KEY_{number}"], numbered[f"GIT_CONFIG_VALUE_{number}"] = key, value
    return {
        **trusted,
        **kept,
        **numbered,
        **({"SSH_AUTH_SOCK": agent} if agent else {}),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "/bin/false",
        "GIT_ALLOW_PROTOCOL": allow,
        "GIT_PROTOCOL_FROM_USER": "0",
        "GIT_SSH_COMMAND": _SSH,
        "GIT_SSH_VARIANT": "ssh",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_ADVICE": "0",
        "LC_ALL": "C",
    }


class _Talk:
    """Feeds a process and collects what it prints; ends it when the build is stopped or nothing is heard for long."""

    def __init__(self, process: object, stdin: bytes, cancelled: Flag, silence: float) -> None:
        import subprocess

        assert isinstance(process, subprocess.Popen)
        self._process = process
        self._stdin = stdin
        self._cancelled = cancelled
        self._silence = silence

    def wait(self) -> tuple[bytes, bytes]:
        import selectors

        process = self._process
        assert process.stdout and process.stderr and process.stdin
        found: dict[int, bytearray] = {process.stdout.fileno(): bytearray(), process.stderr.fileno(): bytearray()}
        out, err = found
        last = time.monotonic()
        with selectors.DefaultSelector() as ready, process:
            ready.register(out, selectors.EVENT_READ)
            ready.register(err, selectors.EVENT_READ)
            self._offer(ready)
            try:
                while len(ready.get_map()):
                    for key, _ in ready.select(0.1):
                        last = time.monotonic()
                        self._pump(ready, key.fd, found)
                    self._check(last)
            except BaseException:
                self._kill()
                raise
        return bytes(found[out]), bytes(found[err])

    def _offer(self, ready: object) -> None:
        import selectors

        assert isinstance(ready, selectors.DefaultSelector)
        assert self._process.stdin
        if self._stdin:
            os.set_blocking(self._process.stdin.fileno(), False)
            ready.register(self._process.stdin.fileno(), selectors.EVENT_WRITE)
        else:
            self._process.stdin.close()

    def _pump(self, ready: object, descriptor: int, found: dict[int, bytearray]) -> None:
        import selectors

        assert isinstance(ready, selectors.DefaultSelector)
        if descriptor in found:
            block = os.read(descriptor, 1 << 16)
            found[descriptor] += block
            if not block:
                ready.unregister(descriptor)
            return
        assert self._process.stdin
        try:
            self._stdin = self._stdin[os.write(descriptor, self._stdin[: 1 << 16]) :]
        except BrokenPipeError:
            self._stdin = b""
        if not self._stdin:
            ready.unregister(descriptor)
            self._process.stdin.close()

    def _check(self, last: float) -> None:
        if self._cancelled.is_set():
            raise Cancelled("the build was stopped")
        if time.monotonic() - last > self._silence:
            raise NetworkError(f"git: nothing was heard for {self._silence:.0f} seconds", hint="try again")

    def _kill(self) -> None:
        """git, and the programs of its own that it talks through: they are a process group."""
        import signal
        from contextlib import suppress

        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
