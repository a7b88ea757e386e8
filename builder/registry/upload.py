"""One blob on its way into a repository (distribution-spec "Pushing blobs").

    HEAD ─► 200: it is there
    POST [mount=, from=] ─► 201: another repository of the registry lent it
         ─► 202 Location ─► PUT all of it ─► 201
                            │ 413: smaller pieces          broken off: GET Location ─► Range
                            └─► PATCH … PATCH ─► PUT ─► 201     └─► go on from there, or begin anew

After a failure no byte is sent before the registry has said where it stands; none of a blob is sent more than twice.
"""

from __future__ import annotations

import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from builder.errors import AuthError, Cancelled, NetworkError, RegistryError, StoreError
from builder.net.failed import Failed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.net.client import Answer
    from builder.oci.descriptor import Descriptor
    from builder.registry.destination import Destination

PRESENT, MOUNTED, UPLOADED = "present", "mounted", "uploaded"
# To a question that only saves work.
ANY_REFUSAL = (400, 403, 404, 405, 406, 410, 416, 422)
_DONE = (200, 201, 202, 204)

_PIECE = 1 << 18  # a slow line has to take one within the time of silence
_TOLD = 0.2  # seconds between two words of how far a blob is
_RANGE = re.compile(r"(?:bytes=)?0-(\d{1,18})", re.ASCII)
ASKED = 1 << 16  # a body of so many bytes is not sent before the server had a moment to refuse it
_OCTETS = "application/octet-stream"


class Upload:
    """`spent` are the bytes that were handed to the network, wasted ones included."""

    def __init__(self, destination: Destination, blob: Descriptor) -> None:
        self._to, self._blob = destination, blob
        self._short = blob.digest[:19] + "…"
        self._location = ""
        self._offset = 0
        self._least = 0  # OCI-Chunk-Min-Length
        self._sure = False  # whether the registry has said that it holds `_offset` bytes at `_location`
        self._failures = 0
        self._anew = 0
        self._next = time.monotonic() + _TOLD
        self.spent = 0

    def run(self) -> str:
        """PRESENT, MOUNTED or UPLOADED: the registry has the blob then. BuildError if it cannot."""
        persist = self._to.client.persist
        if persist(self._exists):
            return PRESENT
        lender = self._to.lender(self._blob.digest)
        if persist(lambda: self._begin(lender)):
            return MOUNTED
        self._to.provide(self._blob)
        while not persist(self._go_on):
            pass
        self._to.moved(self._blob.digest, self._blob.size, self._blob.size)
        return UPLOADED

    def _step(self, what: str) -> str:
        return f"{what} upload {self._short}" if what.isupper() else f"{what} {self._short}"

    def _exists(self) -> bool:
        path = f"blobs/{self._blob.digest}"
        with self._to.ask("HEAD", path, f"HEAD blob {self._short}", accept=(200, *ANY_REFUSAL)) as answer:
            # A portal before the network answers everything with 200, and its page has another length.
            length = answer.headers.get("content-length", "")
            return answer.status == 200 and length in ("", "0", str(self._blob.size))

    def _begin(self, lender: str = "") -> bool:
        """Whether the registry mounted the blob; else there is an upload to go on with."""
        if lender:
            from urllib.parse import urlencode

            query = urlencode({"mount": self._blob.digest, "from": lender})
            step = f"POST mount of {self._short} from {lender}"
            # Who may push here need not have a right to what is there: then the blob is sent.
            with (
                suppress(AuthError),
                self._to.ask(
                    "POST", f"blobs/uploads/?{query}", step, accept=(201, 202, *ANY_REFUSAL), lender=lender
                ) as answer,
            ):
                if answer.status in (201, 202):
                    return self._began(answer)
        with self._to.ask("POST", "blobs/uploads/", f"POST upload of {self._short}", accept=(201, 202)) as answer:
            return self._began(answer)

    def _began(self, answer: Answer) -> bool:
        if answer.status == 201:
            return True
        self._least = _number(answer.headers.get("oci-chunk-min-length", ""))
        self._location = self._place(answer, "")
        self._offset, self._sure = 0, True
        return False

    def _go_on(self) -> bool:
        """One step; whether it was the last. Failed where the registry has to be asked before the next."""
        if not self._sure:
            return self._recover()
        self._sure = False
        before = self._offset
        try:
            done = self._send()
        except Failed as failed:
            self._failures += 1
            if self._failures >= self._patience():
                raise failed.error from failed
            raise
        if self._offset > before:
            self._failures = 0
        return done

    def _send(self) -> bool:
        """The next bytes, as many as one request may carry."""
        size, left = self._blob.size, self._blob.size - self._offset
        most = self._most()
        if left == 0 or (self._offset == 0 and (not most or left <= most)):
            return self._put(left)
        return self._patch(min(left, most or size))

    def _most(self) -> int:
        """How many bytes one request may have, 0 for any number."""
        return max(self._to.limit, self._least) if self._to.limit else 0

    def _put(self, length: int) -> bool:
        """The end of the upload, with the whole blob or nothing in it."""
        mark = "&" if "?" in self._location else "?"
        place = f"{self._location}{mark}digest={self._blob.digest.replace(':', '%3A')}"
        headers = self._headers(length)
        body = (lambda: self._bytes(length)) if length else b""
        with self._to.ask("PUT", place, self._step("PUT"), headers, body, (*_DONE, 400, 404, 413, 416, 417)) as answer:
            if answer.status in _DONE:
                return True
            if answer.status == 400:
                raise self._altered(answer)
            return self._refused(answer, length)

    def _patch(self, length: int) -> bool:
        first = self._offset
        headers = {**self._headers(length), "Content-Range": f"{first}-{first + length - 1}"}
        body = lambda: self._bytes(length)  # noqa: E731 (a body that can be sent again)
        step = self._step("PATCH")
        with self._to.ask("PATCH", self._location, step, headers, body, (*_DONE, 404, 413, 416, 417)) as answer:
            if answer.status >= 400:
                return self._refused(answer, length)
            self._location = self._place(answer, self._location)
            self._offset = self._held(answer, first + length)
            self._sure = self._offset <= self._blob.size
        return False

    def _refused(self, answer: Answer, length: int) -> bool:
        """What an upload survives: smaller pieces are sent, or those that are missing, or all once more."""
        self._failures += 1
        if self._failures >= self._patience():
            raise self._to.refusal(answer, self._step("PUT"))
        if answer.status == 413:
            self._to.shrink(length, self._least, answer, self._step("PUT"))
        elif answer.status == 417:
            self._to.asks = False
        elif answer.status == 416 and _RANGE.fullmatch(answer.headers.get("range", "")):
            self._location = self._place(answer, self._location)
            self._offset = self._held(answer, 0)
            self._sure = 0 < self._offset <= self._blob.size
        return False

    def _headers(self, length: int) -> dict[str, str]:
        asks = {"Expect": "100-continue"} if length >= ASKED and self._to.asks else {}
        return {"Content-Type": _OCTETS, "Content-Length": str(length), **asks}

    def _patience(self) -> int:
        return 2 * self._to.client.patience.tries

    def _recover(self) -> bool:
        """Ask where the upload stands, and begin anew where it is lost. True if the blob is there after all."""
        step = self._step("GET status of")
        with self._to.ask("GET", self._location, step, accept=(*_DONE, *ANY_REFUSAL)) as answer:
            held = self._held(answer, 0) if answer.status in _DONE else 0
            if 0 < held <= self._blob.size:
                self._location = self._place(answer, self._location)
                self._offset, self._sure = held, True
                return False
        # "0-0" is said of no byte and of one: such an upload is left to the registry's housekeeping.
        if self._exists():
            return True
        self._anew += 1
        if self._anew > self._patience():
            raise self._wasted()
        self._begin()
        return False

    def _held(self, answer: Answer, default: int) -> int:
        """How many bytes the registry has: the end of its Range, which counts from 0 and is included."""
        match = _RANGE.fullmatch(answer.headers.get("range", ""))
        if not match:
            return default
        last = int(match[1])
        return last + 1 if last else 0

    def _place(self, answer: Answer, default: str) -> str:
        """Where to go on. Relative, absolute, or given twice, which the HTTP library joins with a comma."""
        text = answer.headers.get("location", "").split(", ")[0].strip()
        if not text and not default:
            raise RegistryError(
                f"{self._to.name}: {self._step('upload')}: the answer {answer.status} has no Location",
                hint="this is no registry of the distribution-spec, or a proxy before it alters answers",
            )
        return self._to.resolve(answer.url, text) if text else default

    def _bytes(self, length: int) -> Iterator[bytes]:
        """The next `length` bytes, read as they are sent."""
        if self.spent + length > 2 * self._blob.size:
            raise self._wasted()
        with open(self._to.blobs.path(self._blob.digest), "rb", buffering=0) as file:
            file.seek(self._offset)
            while length:
                if self._to.stopped:
                    raise Cancelled("another upload failed")
                piece = file.read(min(length, _PIECE))
                if not piece:
                    raise StoreError(f"blob {self._blob.digest} is shorter than the {self._blob.size} bytes announced")
                length -= len(piece)
                self.spent += len(piece)
                yield piece
                self._tell(file.tell())

    def _tell(self, sent: int) -> None:
        """Now and then; of the end, when the registry has confirmed it."""
        if sent < self._blob.size and (now := time.monotonic()) >= self._next:
            self._next = now + _TOLD
            self._to.moved(self._blob.digest, sent, self._blob.size)

    def _wasted(self) -> NetworkError:
        return NetworkError(
            f"{self._to.name}: {self._step('upload')}: "
            f"it broke off again and again, {self.spent} bytes were sent of {self._blob.size}",
            hint="run the command again: blobs that have arrived are not sent again",
        )

    def _altered(self, answer: Answer) -> Exception:
        """The registry finds another digest: where the blob in the store is damaged, that is the error to tell."""
        with self._to.blobs.open(self._blob.digest) as file:
            while file.read(_PIECE):
                pass
        error = self._to.refusal(answer, self._step("PUT"))
        again = "DIGEST_INVALID" in error.message and self.spent + self._blob.size <= 2 * self._blob.size
        return Failed(error) if again else error


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else 0
