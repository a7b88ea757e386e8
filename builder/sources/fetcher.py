"""Everything that comes from elsewhere, by one object a build: what is asked for twice is fetched once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from builder.errors import BuildError, NotFound
from builder.sources.pins import GIT, NO_PINS, URL, agreed, at_ref, drifted, gone
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from builder.events import Flag
    from builder.sources.bundles import Bundles
    from builder.sources.credentials import Credentials
    from builder.sources.fetched import Fetched
    from builder.sources.git import GitSource
    from builder.sources.pins import Pins
    from builder.store.store import Store

_AT_ONCE = 6


class Asked(NamedTuple):
    """`words` are what `Fetcher.http` or `Fetcher.git` take, all of them."""

    kind: str  # http or git
    words: tuple[Any, ...]


class Timed(NamedTuple):
    """What was found, and when it was looked for (monotonic seconds)."""

    found: Fetched
    begin: float
    end: float


class Fetcher:
    """The modules that speak to the network are imported by builds that need one.

    What `pins` knows is what comes, or nothing does; they may be set until the first thing is fetched.
    What the `bundles` of the build have is asked of nobody else.
    """

    def __init__(
        self,
        store: Store,
        credentials: Credentials,
        cancelled: Flag,
        *,
        offline: bool,
        pins: Pins = NO_PINS,
        bundles: Bundles | None = None,
    ) -> None:
        self.pins = pins
        self._bundles = bundles
        self._store = store
        self._credentials = credentials
        self._cancelled = cancelled
        self._offline = offline
        self._known: dict[Asked, Timed | BuildError] = {}

    def http(self, url: str, checksum: str = "") -> Fetched:
        return self.fetch(Asked("http", (url, checksum)))

    def git(
        self,
        remote: str,
        ref: str = "",
        subdir: str = "",
        checksum: str = "",
        keep_git_dir: bool = False,
        submodules: bool = True,
        commit_times: bool = False,
    ) -> Fetched:
        return self.fetch(Asked("git", (remote, ref, subdir, checksum, keep_git_dir, submodules, commit_times)))

    def fetch(self, one: Asked) -> Fetched:
        return self.timed(one).found

    def timed(self, one: Asked) -> Timed:
        """Raises again what has been raised before: a server is not asked twice for what it has not."""
        if one not in self._known:
            self._known[one] = self._try(one)
        known = self._known[one]
        if isinstance(known, BuildError):
            raise known
        return known

    def fetch_all(self, asked: Iterable[Asked]) -> None:
        """Several at a time; what cannot be had is told when it is asked for. No thread is left behind."""
        wanted = [one for one in dict.fromkeys(asked) if one not in self._known]
        if len(wanted) < 2:
            return
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="fetch") as pool:
            self._known.update(zip(wanted, pool.map(self._try, wanted), strict=True))

    def _try(self, one: Asked) -> Timed | BuildError:
        begin = time.monotonic()
        try:
            return Timed(self._fetch(one), begin, time.monotonic())
        except BuildError as error:
            return error

    def _fetch(self, one: Asked) -> Fetched:
        return self._file(*one.words) if one.kind == "http" else self._repository(one.words)

    def _file(self, url: str, checksum: str) -> Fetched:
        from builder.sources.http import ChecksumError, HttpSource

        source = HttpSource(self._store, self._credentials, self._cancelled, offline=self._offline)
        pinned = self.pins.url(url)
        try:
            wanted = agreed(self.pins, URL, url, pinned, checksum)
            bundled = self._bundles.file(url, wanted) if self._bundles else None
            return bundled or source.fetch(url, wanted)
        except ChecksumError as error:
            if pinned:
                raise drifted(self.pins, URL, url, error) from error
            raise

    def _repository(self, words: tuple[Any, ...]) -> Fetched:
        from builder.sources.git import Wanted

        wanted = Wanted(*words)
        pinned = self.pins.git(wanted.remote, wanted.ref)
        agreed(self.pins, GIT, at_ref(wanted.remote, wanted.ref), pinned, wanted.checksum)
        try:
            bundled = self._bundles.checkout(wanted, pinned or "") if self._bundles else None
            return bundled or self._git().fetch(wanted, pinned or "")
        except NotFound as error:
            if pinned:
                raise gone(self.pins, GIT, at_ref(wanted.remote, wanted.ref), error) from error
            raise

    def commit(self, remote: str, ref: str) -> str:
        """What git(…) would check out, without fetching it where the server tells."""
        from builder.sources.git import Wanted

        return self.pins.git(remote, ref) or self._git().commit(Wanted(remote, ref))

    def _git(self) -> GitSource:
        from builder.sources.git import GitSource

        return GitSource(self._store, self._credentials, self._cancelled, offline=self._offline)

    def found(self) -> dict[Asked, Fetched]:
        """Everything that has been fetched."""
        return {one: known.found for one, known in self._known.items() if isinstance(known, Timed)}
