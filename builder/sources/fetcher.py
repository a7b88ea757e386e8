"""Everything that comes from elsewhere, by one object a build: what is asked for twice is fetched once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from builder.events import Flag
    from builder.sources.credentials import Credentials
    from builder.sources.fetched import Fetched
    from builder.store.store import Store


class Fetcher:
    """The modules that speak to the network are imported by builds that need one."""

    def __init__(self, store: Store, credentials: Credentials, cancelled: Flag, *, offline: bool) -> None:
        self._store = store
        self._credentials = credentials
        self._cancelled = cancelled
        self._offline = offline
        self._known: dict[object, Fetched] = {}

    def http(self, url: str, checksum: str = "") -> Fetched:
        from builder.sources.http import HttpSource

        if (url, checksum) not in self._known:
            source = HttpSource(self._store, self._credentials, self._cancelled, offline=self._offline)
            self._known[url, checksum] = source.fetch(url, checksum)
        return self._known[url, checksum]

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
        from builder.sources.git import GitSource, Wanted

        wanted = Wanted(remote, ref, subdir, checksum, keep_git_dir, submodules, commit_times)
        if wanted not in self._known:
            source = GitSource(self._store, self._credentials, self._cancelled, offline=self._offline)
            self._known[wanted] = source.fetch(wanted)
        return self._known[wanted]
