"""One step of a pipeline of bytes, in a thread of its own and a few pieces ahead of who reads from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

_MOST = 2  # pieces that wait, of 1 MiB as a rule


class Ahead:
    """A reader of `pieces`, which a thread makes. What making them raises is raised in their place.

    To be used in a `with` block: at its end no thread is left. Who still reads then finds the end.
    """

    def __init__(self, pieces: Iterator[bytes]) -> None:
        from collections import deque
        from threading import Condition, Thread

        self._pieces = pieces
        self._ready: deque[bytes] = deque()
        self._turn = Condition()
        self._ended = False
        self._error: BaseException | None = None
        self._thread = Thread(target=self._run, name="layer", daemon=True)
        self._thread.start()

    def read(self, size: int = -1, /) -> bytes:
        """The next piece, or as much of it as asked for; b"" at the end."""
        with self._turn:
            self._turn.wait_for(lambda: self._ready or self._ended)
            if self._ready:
                piece = self._ready.popleft()
                if 0 <= size < len(piece):
                    self._ready.appendleft(piece[size:])
                    piece = piece[:size]
                self._turn.notify_all()
                return piece
        if self._error is not None:
            raise self._error
        return b""

    def failed_with(self, error: BaseException) -> bool:
        """True if `error` is what making the pieces raised."""
        return error is self._error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._turn:
            self._ended = True
            self._ready.clear()
            self._turn.notify_all()
        self._thread.join()

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            for piece in self._pieces:
                if piece and not self._put(piece):
                    return
        except BaseException as raised:  # noqa: BLE001 (carried to the thread that reads)
            error = raised
        with self._turn:
            self._error = error
            self._ended = True
            self._turn.notify_all()

    def _put(self, piece: bytes) -> bool:
        with self._turn:
            self._turn.wait_for(lambda: len(self._ready) < _MOST or self._ended)
            if not self._ended:
                self._ready.append(piece)
                self._turn.notify_all()
            return not self._ended
