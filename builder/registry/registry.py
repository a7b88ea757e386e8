"""The distribution protocol (distribution-spec 1.1, Docker's v2): requests that are allowed, followed and understood.

Registry.request     one request: credentials, redirects, refusals in words
Registry.manifest    a document, from the first server that has it
Registry.blob        bytes into a sink, resumed
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from builder.errors import DocumentError, NetworkError, RegistryError
from builder.net.address import joined, origin_of
from builder.net.client import Client, Failed
from builder.net.failed import retry_after, where
from builder.oci.descriptor import Descriptor
from builder.registry import documents
from builder.registry.auth import Authorizer
from builder.registry.download import Download
from builder.registry.errors import LARGEST, at_step, count_of, host_of, may_mend, refusal
from builder.registry.keys import Keychain
from builder.registry.routes import Routes
from builder.registry.schemes import Schemes
from builder.registry.turns import Turns
from builder.store.blobs import DOCUMENT_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from builder.errors import BuildError
    from builder.events import Flag
    from builder.net.client import Answer
    from builder.oci.reference import Reference
    from builder.registry.download import Sink
    from builder.registry.endpoint import Endpoint
    from builder.registry.options import RegistryOptions

T = TypeVar("T")

_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 10
_MIRROR_TRIES = 2  # there is another server to ask


class Registry:
    """Of one command or build; may be used from any thread. With `offline` the first use raises NetworkError."""

    def __init__(
        self,
        options: RegistryOptions,
        environ: Mapping[str, str],
        cancelled: Flag,
        *,
        offline: bool = False,
        client: Client | None = None,
        keychain: Keychain | None = None,
    ) -> None:
        self.client = client or Client(cancelled, environ=environ)
        self.routes = Routes(options, environ)
        self._authorizer = Authorizer(self.client, keychain or Keychain(options, environ))
        self._schemes = Schemes(self.client)
        self._turns = Turns()
        self._offline = offline

    def close(self) -> None:
        self.client.close()

    def __enter__(self) -> Registry:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def known(self, endpoint: Endpoint) -> bool:
        """Whether the server has asked who we are, and was told."""
        return self._authorizer.header(self._schemes.settled(endpoint), "pull") is not None

    def persist(self, what: Callable[[], T]) -> T:
        return self.client.persist(what)

    @contextmanager
    def request(
        self,
        endpoint: Endpoint,
        method: str,
        path: str,
        *,
        step: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | Callable[[], Iterable[bytes]] | None = None,
        actions: str = "pull",
        also: Sequence[str] = (),
        accept: Sequence[int] = (200,),
    ) -> Iterator[Answer]:
        """One request, whose answer has one of the statuses `accept`.

        `path` is below the repository, begins with / for one of the server, or is a whole address, as uploads get
        theirs; `step` says in messages what is asked. To be run under `persist`: raises Failed for what another
        try may mend, AuthError, RegistryError or NetworkError for what none will.
        """
        self._permit(f"{host_of(endpoint)}: {step}")
        with at_step(endpoint, step):
            endpoint = self._schemes.settled(endpoint)
            url = _address(endpoint, path)
            header = self._authorizer.header(endpoint, actions, also)
            for again in (False, True):
                with self._followed(endpoint, method, url, headers or {}, body, header) as answer:
                    if again and header and answer.status == 401:
                        raise self._authorizer.refused(endpoint, actions, answer, also, header, step)
                    if answer.status != 401 or origin_of(answer.url) != origin_of(endpoint.base):
                        if answer.status not in accept:
                            raise _failing(self.refusal(endpoint, step, answer, known=header is not None), answer)
                        yield answer
                        return
                    header = self._authorizer.challenged(endpoint, actions, answer, also, header, step)

    def refusal(self, endpoint: Endpoint, step: str, answer: Answer, *, known: bool = True) -> BuildError:
        """The error for an answer that is not the one asked for, without credentials that it repeats."""
        body, hidden = _beginning(answer), self._authorizer.hidden
        return refusal(endpoint, step, answer.status, answer.headers, body, known=known, hidden=hidden)

    @contextmanager
    def _followed(
        self,
        endpoint: Endpoint,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Callable[[], Iterable[bytes]] | None,
        header: str | None,
    ) -> Iterator[Answer]:
        """The answer at the end of all redirects. Credentials are for the registry alone, and not once it was left."""
        home, at_home, begin = origin_of(endpoint.base), True, url
        for _ in range(_MOST_REDIRECTS + 1):
            at_home = at_home and origin_of(url) == home
            _keep_secure(endpoint.base, url, begin)
            sent = {**headers, "Authorization": header} if at_home and header else headers
            tls = endpoint.tls if at_home else endpoint.tls._replace(certificate="", key="")
            with self.client.exchange(method, url, sent, body, tls) as answer:
                if answer.status not in _REDIRECTS or "location" not in answer.headers:
                    yield answer
                    return
                if method not in ("GET", "HEAD") and answer.status not in (307, 308):
                    yield answer
                    return
                url = joined(url, answer.headers["location"])
        raise RegistryError(f"{where(begin)}: more than {_MOST_REDIRECTS} redirects")

    def manifest(self, reference: Reference, expected: Descriptor | None = None) -> tuple[Endpoint, Descriptor, bytes]:
        """The manifest or index that a reference names, from the first server that has it.

        `expected` is the descriptor that led to it. Raises AuthError, NetworkError, RegistryError, or
        DocumentError for what is not a sound document of its digest.
        """
        wanted = reference.or_latest()
        self._permit(f"the manifest of {wanted.familiar()}")
        return self._each(self.routes.pull(wanted), lambda endpoint: self._manifest(endpoint, wanted, expected))

    def head(self, reference: Reference) -> Descriptor | None:
        """What a reference stands for, without its document; None if the registry has no such image."""
        wanted = reference.or_latest()
        self._permit(f"the manifest of {wanted.familiar()}")
        return self._each(self.routes.pull(wanted), lambda endpoint: self._head(endpoint, wanted))

    def blob(
        self,
        endpoints: Sequence[Endpoint],
        descriptor: Descriptor,
        sink: Sink,
        stop: Flag | None = None,
        before: int = 0,
    ) -> int:
        """Write all bytes of a blob into `sink`, in order, each once; whether they are right, the sink decides.

        What came before a break is not asked for again, unless the server cannot continue. Gives how many bytes
        came in all, with those that came in vain `before`: at most twice the blob's. Stops when `stop` is set,
        besides the client's own flag.
        """
        self._permit(f"the blob {descriptor.digest}")
        download = Download(self, descriptor, sink, stop, before)
        self._each(endpoints, download.go_on, lambda: download.had)
        return download.received

    def _each(
        self, endpoints: Sequence[Endpoint], ask: Callable[[Endpoint], T], progress: Callable[[], int] | None = None
    ) -> T:
        def persistently(endpoint: Endpoint) -> T:
            tries = _MIRROR_TRIES if endpoint.mirror else None
            return self.client.persist(lambda: ask(endpoint), tries, progress)

        return self._turns.take(endpoints, persistently)

    def _manifest(
        self, endpoint: Endpoint, wanted: Reference, expected: Descriptor | None
    ) -> tuple[Endpoint, Descriptor, bytes]:
        name, shown = _named(endpoint, wanted)
        step = f"GET manifest {shown}"
        headers = {"Accept": documents.ACCEPT}
        with self.request(endpoint, "GET", f"manifests/{name}", step=step, headers=headers) as answer:
            raw = _document(answer, f"{host_of(endpoint)}: {step}")
            try:
                found = documents.received(f"{host_of(endpoint)}: {step}", raw, answer.headers, wanted.digest)
            except documents.Altered as error:
                raise Failed(error) from error
        if expected is not None:
            documents.matching(f"{host_of(endpoint)}: {step}", found, expected)
        return endpoint, found, raw

    def _head(self, endpoint: Endpoint, wanted: Reference) -> Descriptor | None:
        name, shown = _named(endpoint, wanted)
        accept = (200,) if endpoint.mirror else (200, 404)
        headers = {"Accept": documents.ACCEPT}
        step = f"HEAD manifest {shown}"
        with self.request(endpoint, "HEAD", f"manifests/{name}", step=step, headers=headers, accept=accept) as answer:
            if answer.status == 404:
                return None
            kind, digest = documents.kind_of(answer.headers), documents.announced(answer.headers)
            length = count_of(answer.headers.get("content-length", ""))
        if kind in documents.KINDS and digest and length is not None:
            return Descriptor(kind, digest, length)
        return self._manifest(endpoint, wanted, None)[1]

    def _permit(self, what: str) -> None:
        if self._offline:
            raise NetworkError(
                f"{what} is not in the store, and --offline forbids to ask a registry",
                hint="run once without --offline, or bring it with rbuild load",
            )


def _address(endpoint: Endpoint, path: str) -> str:
    if "://" in path:
        return path
    return endpoint.base + (path if path.startswith("/") else f"/v2/{endpoint.repository}/{path}")


def _keep_secure(base: str, url: str, begin: str) -> None:
    if base.startswith("https:") and not url.startswith("https:"):
        raise RegistryError(
            f"{where(begin)}: the registry redirects to an address that is not secure: {where(url)}",
            hint="its storage has to be reached by https",
        )


def _failing(error: BuildError, answer: Answer) -> Exception:
    return Failed(error, retry_after(answer.headers)) if may_mend(answer.status) else error


def _beginning(answer: Answer) -> bytes:
    try:
        return answer.all(LARGEST - 1)
    except Failed:
        return b""


def _named(endpoint: Endpoint, wanted: Reference) -> tuple[str, str]:
    """Tag or digest, and how messages call the manifest."""
    if wanted.digest:
        return wanted.digest, f"{endpoint.repository}@{wanted.digest}"
    return wanted.tag, f"{endpoint.repository}:{wanted.tag}"


def _document(answer: Answer, shown: str) -> bytes:
    coding = answer.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        error = NetworkError(f"{shown}: comes encoded as {coding[:40]!r}, although plain bytes were asked for")
        raise Failed(error)
    raw = answer.all(DOCUMENT_LIMIT)
    if len(raw) > DOCUMENT_LIMIT:
        raise DocumentError(f"{shown}: a document of more than {DOCUMENT_LIMIT >> 20} MiB is not read")
    return raw
