"""What to do instead of an option of docker, buildah or podman that does not exist here: a hint for its refusal."""

from __future__ import annotations

_STORE = "the image is in the store: -o type=oci,dest=FILE or type=docker,dest=FILE writes it for other programs"
_DAEMON = "there is no daemon and no builder instance to choose or reach: leave it away"
_LIMITS = "run rbuild itself in a cgroup: systemd-run --user --scope -p MemoryMax=… -p CPUQuota=… rbuild …"
_CACHE = "the step cache is in the store (--store): keep or copy that directory"
_ATTEST = (
    "images are written without attestations, which is what --provenance=false --sbom=false ask for: leave it away"
)
_NO_DIGEST = "layers and config depend on the content alone: SOURCE_DATE_EPOCH as a --build-arg dates them"
_LOG = "progress goes to standard error: redirect it, with --progress=plain or json"
_REGISTRY = "--pull=missing|always|newer|never says when a registry is asked, docs/registries.md how"
_CONFIG = "write it as an instruction of the Dockerfile"
_NAMESPACES = "--isolation chooses the namespaces of RUN, rbuild doctor shows what this host gives"
_PLATFORM = "--platform OS/ARCH[/VARIANT]"
_ALWAYS = "it is always so here: leave it away"

_HINTS = {
    _STORE: "manifest",
    _DAEMON: "builder detach root server-config group disable-content-trust",
    _LIMITS: "cgroup-parent cpu-period cpu-quota cpu-shares cpuset-cpus cpuset-mems memory memory-swap",
    _CACHE: "cache-from cache-to cache-ttl blob-cache",
    _ATTEST: "attest provenance sbom sbom-image-output sbom-image-purl-output sbom-merge-strategy sbom-output"
    " sbom-purl-output sbom-scanner-command sbom-scanner-image sign-by",
    _NO_DIGEST: "timestamp source-date-epoch rewrite-timestamp created-annotation",
    _LOG: "logfile loglevel logsplit log-rusage rusage-logfile",
    _REGISTRY: "pull-always pull-never retry retry-delay signature-policy decryption-key policy source-policy-file",
    _CONFIG: "env unsetenv unsetlabel from",
    _NAMESPACES: "userns userns-gid-map userns-gid-map-group userns-uid-map userns-uid-map-user pid ipc uts cgroupns"
    " runtime runtime-flag hooks-dir cni-config-dir cni-plugin-path no-pivot-root",
    _PLATFORM: "arch os variant all-platforms",
    _ALWAYS: "rm force-rm layers skip-unused-stages",
    "a last stage of FROM scratch and COPY --from=STAGE / / makes one layer": "squash squash-all",
    "RUN --mount=type=bind shows files to one RUN; --build-context gives a directory a name": "volume mount"
    " transient-run-mount",
    "--compression none|gzip|zstd is for layers; a context is read where it is": "compress disable-compression",
    "images are OCI; -o type=docker writes an archive that docker load reads": "format",
    "name it Dockerfile.dockerignore beside the Dockerfile, or .dockerignore in the context": "ignorefile",
    "give each as --build-arg NAME=VALUE": "build-arg-file",
    "RBUILD_DEBUG=1 shows tracebacks; rbuild plan shows the steps": "debug invoke print",
    "--add-host gives RUN a name and its address": "dns dns-option dns-search no-hosts no-hostname",
    "RUN --security=insecure with --allow security.insecure gives a RUN more rights": "cap-add cap-drop device"
    " security-opt group-add",
    "the proxy variables of --build-arg (HTTP_PROXY=…) reach RUN": "http-proxy proxy-network",
    "--label adds labels": "identity-label inherit-labels layer-label stage-labels",
    "--annotation adds annotations": "inherit-annotations unsetannotation",
    "--iidfile writes it with its sha256:": "iidfile-raw",
    "--target STAGE and -t NAME keep the result of one stage": "save-stages",
}


def hint(name: str) -> str | None:
    """For the long name of an option, without its dashes."""
    return next((text for text, names in _HINTS.items() if name in names.split()), None)


def hinted() -> list[str]:
    """Every name that has a hint; for the test that all are options which are refused."""
    return [name for names in _HINTS.values() for name in names.split()]
