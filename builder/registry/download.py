"""One blob on its way in: streamed, bounded, and after a break resumed where it broke off (RFC 9110, 14)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from builder.errors import NetworkError
from builder.net.client import PIECE, Failed
from builder.net.failed import stopped
from builder.registry.errors import count_of, host_of

if TYPE_CHECKING:
    from builder.events import Flag
    from builder.net.client import Answer
    from builder.oci.descriptor import Descriptor
    from builder.registry.endpoint import Endpoint
    from builder.registry.registry import Registry

_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(?:(\d{1,18})|\*)", re.ASCII)
_HINT = "the registry, or a proxy before it, is faulty: try again, or name a mirror (--mirror)"


class Sink(Protocol):
    """Takes all of each piece, in order; `store.blobs.Ingest` is one."""

    def write(self, chunk: bytes, /) -> int: ...


class Download:
    """`had` are the bytes given to the sink, `received` those that came."""

    def __init__(self, registry: Registry, blob: Descriptor, sink: Sink, stop: Flag | None, before: int) -> None:
        self._registry, self._blob, self._sink, self._stop = registry, blob, sink, stop
        self.had = 0
        self.received = before

    def go_on(self, endpoint: Endpoint) -> None:
        """One request for what is missing. Failed when it breaks, with what came until then kept."""
        if self.had and self.had == self._blob.size:
            return  # it broke after the last byte
        step = f"GET blob {self._blob.digest}"
        headers = {"Range": f"bytes={self.had}-"} if self.had else {}
        path = f"blobs/{self._blob.digest}"
        with self._registry.request(endpoint, "GET", path, step=step, headers=headers, accept=(200, 206)) as answer:
            skip = self._skipped(answer, f"{host_of(endpoint)}: {step}")
            self._take(answer, skip)
        if self.had != self._blob.size:
            raise Failed(self._fault(f"{host_of(endpoint)}: {step}", f"ends after {self.had} bytes"))

    def _take(self, answer: Answer, skip: int) -> None:
        while block := answer.read(PIECE):
            if self._stop is not None and self._stop.is_set():
                raise stopped()
            self.received += len(block)
            fresh = block[skip:] if skip else block
            skip -= len(block) - len(fresh)
            if fresh:
                self._sink.write(fresh)
                self.had += len(fresh)

    def _skipped(self, answer: Answer, shown: str) -> int:
        """How many bytes of the answer we have already. A server that ignores ranges sends all of them again."""
        coding = answer.headers.get("content-encoding", "identity").strip().lower()
        length = count_of(answer.headers.get("content-length", ""))
        if answer.status == 206:
            begin, whole = self._range(answer, shown)
        else:
            begin, whole = 0, self._blob.size if length is None else length
        # Storage servers mark archives as compressed that are stored as they are: their length tells.
        if coding not in ("", "identity") and (length is None or whole != self._blob.size):
            raise Failed(self._fault(shown, f"comes encoded as {coding[:40]!r}, although plain bytes were asked for"))
        if whole != self._blob.size:
            raise Failed(self._fault(shown, f"has {whole} bytes, not the {self._blob.size} of its descriptor"))
        if self.received + self._blob.size - begin > 2 * self._blob.size:
            raise self._fault(shown, "breaks off again and again, and cannot be resumed")
        return self.had - begin

    def _range(self, answer: Answer, shown: str) -> tuple[int, int]:
        found = _RANGE.fullmatch(answer.headers.get("content-range", "").strip())
        if not found or int(found[1]) > self.had:
            raise self._fault(shown, "is sent from another place than was asked for")
        return int(found[1]), int(found[3]) if found[3] else int(found[2]) + 1

    def _fault(self, shown: str, what: str) -> NetworkError:
        return NetworkError(f"{shown}: the blob {what}", hint=_HINT)
