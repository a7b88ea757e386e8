"""A thread beside others that does one thing with everything that is put into it, in that order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

T = TypeVar("T")


class Lane(Generic[T]):
    """Use it in a `with` block, whose end waits until all is done and the thread has gone.

    The first failure of `work` comes out of the next `put`, or of the end of the block. Then, and when the
    block is left by an error, what still waits is only given to `drop`. At most `most` things wait.
    """

    def __init__(
        self, name: str, work: Callable[[T], object], drop: Callable[[T], object] | None = None, most: int = 4
    ) -> None:
        import queue
        import threading

        self._work, self._drop = work, drop
        self._waiting: queue.Queue[T | None] = queue.Queue(most)  # None is the end
        self._stopped = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def put(self, item: T) -> None:
        """Wait for room; the item is the lane's from then on, also if this raises."""
        self._waiting.put(item)
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped = self._stopped or error is not None
        self._waiting.put(None)
        self._thread.join()
        if error is None and self._error is not None:
            raise self._error

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            if not self._stopped:
                self._try(item)
            elif self._drop:
                self._drop(item)

    def _try(self, item: T) -> None:
        try:
            self._work(item)
        except BaseException as error:  # noqa: BLE001 (carried to the thread that puts)
            self._error, self._stopped = error, True
