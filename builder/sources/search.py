"""Which manifest or index a reference means in a build: the store's, or a registry's, as the policy has it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from builder.oci.reference import parse_reference
from builder.sources.policy import POLICIES
from builder.store.images import describe_document
from builder.values import NamedTuple

if TYPE_CHECKING:
    from builder.oci.descriptor import Descriptor
    from builder.oci.platform import Platform
    from builder.oci.reference import Reference
    from builder.sources.remote import Remote
    from builder.store.store import Store


class Asked(NamedTuple):
    """What a registry was asked for, when (monotonic seconds), and the digest that it answered."""

    reference: str
    begin: float
    end: float
    digest: str


class Search:
    """What a reference once means stays for the whole build, whatever becomes of its tag: several platforms are of
    one index, also when somebody pushes or pulls meanwhile. May be used from any thread.
    """

    def __init__(self, store: Store, remote: Remote, policy: str) -> None:
        self.asked: list[Asked] = []
        self.warnings: list[str] = []
        self._store = store
        self._remote = remote
        self._policy = policy
        self._references: dict[str, Reference] = {}
        self._tops: dict[Reference, Descriptor] = {}

    def reference(self, text: str) -> Reference:
        """What a name stands for: an image of the store before an alias, so that what was tagged here is found."""
        if text not in self._references:
            reference = parse_reference(text).or_latest()
            self._references[text] = reference if self.local(reference) else self._remote.qualify(text)
        return self._references[text]

    def is_far(self, text: str) -> bool:
        """Whether a registry has to be asked for an image."""
        if not self._remote.reachable:
            return False
        reference = self.reference(text)
        return self._policy_for(reference) in ("always", "newer") or self.local(reference) is None

    def top(self, reference: Reference, platform: Platform) -> Descriptor:
        """The manifest or index, of which the documents for `platform` alone are sure to be here if it came now."""
        if reference not in self._tops:
            policy = POLICIES[self._policy_for(reference)]
            found = policy(self.local(reference), _Question(self, reference, platform))
            self._tops.setdefault(reference, found)
        return self._tops[reference]

    def local(self, reference: Reference) -> Descriptor | None:
        """By name; by digest also what has no name, as the images of an index have none."""
        if not reference.digest:
            return self._store.tags.get(str(reference))
        named = (entry for _, entry in self._store.tags.all() if entry.digest == reference.digest)
        return next(named, None) or describe_document(self._store.blobs, reference.digest)

    def pull(self, reference: Reference, platform: Platform) -> Descriptor:
        """Index, manifest and config from the registry, whatever is here."""
        begin = time.monotonic()
        found = self._remote.documents(reference, platform)
        self._tell(reference, begin, found.digest)
        return found

    def complete(self, reference: Reference, root: Descriptor, platform: Platform) -> None:
        """What is missing of the documents for a platform, by digest from the registry."""
        begin = time.monotonic()
        self._remote.rest(reference, root, platform)
        self._tell(reference, begin, root.digest)

    def digest(self, reference: Reference) -> str | None:
        begin = time.monotonic()
        found = self._remote.digest(reference)
        if found:
            self._tell(reference, begin, found)
        return found

    def settle(self) -> None:
        """Leave no thread behind."""
        self._remote.settle()

    def close(self) -> None:
        """Give connections back."""
        self._remote.close()

    def _policy_for(self, reference: Reference) -> str:
        """What a digest names never changes: nobody knows better than the store."""
        return "missing" if reference.digest else self._policy

    def _tell(self, reference: Reference, begin: float, digest: str) -> None:
        self.asked.append(Asked(str(reference), begin, time.monotonic(), digest))


class _Question:
    """The `Question` of a policy about one image."""

    def __init__(self, search: Search, reference: Reference, platform: Platform) -> None:
        self._search = search
        self._reference = reference
        self._platform = platform

    def digest(self) -> str | None:
        return self._search.digest(self._reference)

    def pull(self) -> Descriptor:
        return self._search.pull(self._reference, self._platform)

    def warn(self, reason: str) -> None:
        name = self._reference.familiar()
        self._search.warnings.append(f"--pull=newer: {name} is taken as it is in the store: {reason}")
