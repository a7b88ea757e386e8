"""Credentials that a program keeps: `docker-credential-NAME get|store|erase`, with the request on standard input.

https://github.com/docker/docker-credential-helpers, "Development". What it writes is in memory alone.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from builder.errors import AuthError, DocumentError
from builder.oci.json import decode

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping

PATIENCE = 60.0  # seconds: a person may have to unlock something
_LARGEST = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
_ABSENT = "credentials not found"


class Helper:
    """The program that `file` names. Every method raises AuthError for one that is missing or fails."""

    def __init__(self, name: str, file: str, environ: Mapping[str, str], patience: float = PATIENCE) -> None:
        self.program = f"docker-credential-{name}"
        self._name, self._file, self._environ, self._patience = name, file, environ, patience

    def get(self, server: str) -> tuple[str, str] | None:
        """User and secret, or None where it knows none."""
        status, output, errors = self._run("get", server.encode())
        if status:
            if _ABSENT in f"{output}{errors}".lower():
                return None
            raise self._failed("get", status, output, errors)
        try:
            answer = decode(output.encode(), "its answer")
        except DocumentError:
            raise self._fault("answers with what is not JSON") from None  # which would be shown in part
        user, secret = answer.get("Username", ""), answer.get("Secret", "")
        if not isinstance(user, str) or not isinstance(secret, str):
            raise self._fault("answers without Username and Secret")
        return (user, secret) if user or secret else None

    def store(self, server: str, user: str, secret: str) -> None:
        import json

        request = json.dumps({"ServerURL": server, "Username": user, "Secret": secret})
        status, output, errors = self._run("store", request.encode())
        if status:
            raise self._failed("store", status, output.replace(secret, "****"), errors.replace(secret, "****"))

    def erase(self, server: str) -> None:
        status, output, errors = self._run("erase", server.encode())
        if status and _ABSENT not in f"{output}{errors}".lower():
            raise self._failed("erase", status, output, errors)

    def _run(self, verb: str, request: bytes) -> tuple[int, str, str]:
        """Status, output and errors. Files, not pipes: a child that it leaves behind would hold those open."""
        from subprocess import PIPE, Popen

        output, errors = (os.memfd_create(name, os.MFD_CLOEXEC) for name in ("output", "errors"))
        try:
            process = Popen([self._path(), verb], stdin=PIPE, stdout=output, stderr=errors, env=dict(self._environ))
            return self._finished(process, request), _text(output), _text(errors)
        except OSError as error:
            raise self._fault(f"cannot be started: {error.strerror}") from error
        finally:
            os.close(output)
            os.close(errors)

    def _finished(self, process: subprocess.Popen[bytes], request: bytes) -> int:
        from subprocess import TimeoutExpired

        try:
            with suppress(BrokenPipeError):
                process.communicate(request, timeout=self._patience)
            return process.wait(self._patience)
        except TimeoutExpired:
            raise self._fault(f"gives no answer in {self._patience:g} seconds") from None
        finally:
            process.kill()
            process.wait()

    def _path(self) -> str:
        """Of the absolute directories of PATH: a program in the directory that is built from is not ours."""
        import shutil

        if not _NAME.fullmatch(self._name):
            raise AuthError(f"{self._file}: {self._name!r} is not the name of a credential helper")
        folders = [folder for folder in self._environ.get("PATH", os.defpath).split(":") if folder.startswith("/")]
        path = shutil.which(self.program, path=":".join(folders))
        if path is None:
            raise AuthError(
                f"{self._file}: the credential helper {self.program} is not in PATH",
                hint=f"install it, take {self._name!r} out of that file, or name another with --authfile",
            )
        return path

    def _failed(self, verb: str, status: int, output: str, errors: str) -> AuthError:
        """By the protocol the reason is on standard output."""
        said = (output.strip() or errors.strip()).partition("\n")[0][:200]
        said = "" if 'secret"' in said.lower() else said  # an answer, whatever the status says
        return self._fault(f"{verb} fails with {status}" + (f": {said}" if said else ""))

    def _fault(self, what: str) -> AuthError:
        return AuthError(f"{self.program}, which {self._file} names, {what}")


def _text(file: int) -> str:
    return os.pread(file, _LARGEST, 0).decode("utf-8", "replace")
