"""The options of a build, and of commands that look at a Dockerfile as a build does.

An option of `docker buildx build` or `buildah build` that is not implemented has a row too, so that it
is refused by name: a build that silently ignored `--secret` or `--squash` would be wrong.
"""

from __future__ import annotations

from builder.cli.options import FILE, FLAG, HELP, JSON, PAIR, PROGRESS, REGISTRY, REPEAT, STORE, VALUE, Option, refused

BUNDLE = Option(
    ("--bundle",),
    REPEAT,
    "FILE",
    "A bundle, asked before the store and the network; see rbuild bundle. May be repeated.",
)

# What decides the image; `plan` takes these too.
REQUEST = (
    FILE,
    Option(("--target",), VALUE, "STAGE", "Build this stage and what it needs. Default: the last one."),
    Option(("--tag", "-t"), REPEAT, "NAME[:TAG]", "Name the image in the store. May be repeated."),
    Option(
        ("--build-arg",),
        PAIR,
        "KEY[=VALUE]",
        "Set an ARG. KEY alone takes the value of that environment variable.",
        bare=True,
    ),
    Option(("--label",), PAIR, "KEY=VALUE", "Add a label to the image.", bare=True),
    Option(
        ("--build-context",),
        PAIR,
        "NAME=VALUE",
        "A directory or image (oci-layout://PATH[:TAG]) that FROM and --from call NAME.",
    ),
    Option(("--no-cache",), FLAG, help="Run every step again."),
    Option(("--no-cache-filter",), REPEAT, "STAGE[,STAGE]", "Run every step of these stages again."),
    Option(
        ("--network",),
        VALUE,
        "MODE",
        "Network of RUN. Default: default.",
        ("default", "host", "none"),
    ),
    Option(
        ("--isolation",),
        VALUE,
        "TIER",
        "Isolation of RUN. Default: auto, the strongest that this host gives and the build needs.",
        ("auto", "userns", "single", "none"),
    ),
    Option(("--platform",), REPEAT, "OS/ARCH[,…]", "Build for these platforms; several give an index."),
    Option(("--annotation",), REPEAT, "[LEVEL:]KEY=VALUE", "Annotate the manifest, or with index: the index."),
    Option(("--add-host",), REPEAT, "NAME:ADDRESS", "Add a line to /etc/hosts of RUN."),
    Option(("--hostname",), VALUE, "NAME", "Host name of RUN. Default: buildkitsandbox."),
    Option(("--shm-size",), VALUE, "SIZE", "Size of /dev/shm in RUN. Default: 64m."),
    Option(("--ulimit",), REPEAT, "NAME=SOFT[:HARD]", "Resource limits of RUN, as in nofile=1024:4096."),
    Option(("--allow",), REPEAT, "RIGHT", "Give RUN a right that it asks for: network.host, security.insecure."),
    Option(
        ("--secret",), REPEAT, "id=NAME[,src=FILE|env=VAR]", "A secret for RUN --mount=type=secret. May be repeated."
    ),
    Option(
        ("--build-ca",), REPEAT, "FILE", "Let RUN trust the authorities in this PEM file; the image keeps no trace."
    ),
    Option(("--ssh",), REPEAT, "default|ID[=SOCKET|KEY]", "An ssh agent, or keys, for RUN --mount=type=ssh."),
    Option(("--strict",), FLAG, help="Fail on what rarely means what it says: see docs/checks.md."),
    Option(
        ("--compression",),
        VALUE,
        "NAME",
        "Compression of new layers. Default: gzip.",
        ("gzip", "zstd", "none"),
    ),
    Option(
        ("--pull",),
        VALUE,
        "POLICY",
        "Ask registries for base images: missing, always, newer or never. Default: missing; --pull alone: always.",
        implied="always",
    ),
    Option(("--offline",), FLAG, help="Open no socket for the build's inputs; tell all that is not here."),
    Option(("--lock",), VALUE, "FILE", "The lock file. Default: rbuild.lock beside the Dockerfile."),
    Option(("--locked",), FLAG, help="Fail on every source that is not in the lock file."),
    Option(("--no-lock",), FLAG, help="Follow no lock file."),
    BUNDLE,
    Option(("--jobs", "-j"), VALUE, "N", "Steps that may run at once. Default: the number of CPUs."),
    *REGISTRY,
    STORE,
)

REPORT = (
    Option(("--check",), FLAG, help="Check the Dockerfile and build nothing: the same as --call=check."),
    Option(
        ("--call",),
        VALUE,
        "METHOD",
        "build, check, outline or targets; the last three with ,format=json, too. Default: build.",
    ),
    Option(
        ("--output", "-o"),
        REPEAT,
        "SPEC",
        "Write the result: type=oci|docker|tar|local,dest=PATH or type=image|registry,name=NAME. May be repeated.",
    ),
    Option(("--push",), FLAG, help="Push the image to the registries of its names (-t) at the end."),
    Option(("--load",), FLAG, help="The image is put into the store, as it always is."),
    Option(("--iidfile",), VALUE, "FILE", "Write the image ID to FILE: the digest of the config, or of the index."),
    Option(("--metadata-file",), VALUE, "FILE", "Write digests and names of the result to FILE, as JSON."),
    PROGRESS,
    Option(("--quiet", "-q"), FLAG, help="No progress; print the digest of the image alone."),
)

_LOOKED_UP = "file build-arg build-context allow secret ssh offline lock"
ALL = "*"
LOCK = (
    Option(
        ("--update",),
        REPEAT,
        "NAME",
        "Look this source up again; --update alone: all of them. May be repeated.",
        implied=ALL,
        loose=True,
    ),
    Option(("--check",), FLAG, help="Write nothing; exit 1 when the lock file is out of date."),
    Option(("--target",), VALUE, "STAGE", "Lock what this stage needs. Default: what all of them need."),
    Option(
        ("--platform",), REPEAT, "OS/ARCH[,…]", "Lock for these. Default: those of the lock file, else this machine's."
    ),
    Option(
        ("--pull",),
        VALUE,
        "POLICY",
        "Ask registries: missing, always, newer or never. Default: missing, with --update newer.",
        implied="always",
    ),
    *(option for option in REQUEST if option.name in _LOOKED_UP.split()),
    PROGRESS,
    *REGISTRY,
    STORE,
)

# What of a build decides what it needs from elsewhere.
_NEEDS = (
    "--file --build-arg --build-context --platform --secret --ssh --pull --offline --lock --locked --no-lock "
    "--bundle --store " + " ".join(option.names[0] for option in REGISTRY)
).split()
MAKE_BUNDLE = (
    Option(("--output", "-o"), VALUE, "DEST", "What is written: FILE.tar, a new directory, or - for standard output."),
    Option(("--target",), REPEAT, "STAGE", "What this stage needs. May be repeated. Default: all stages."),
    Option(("--since",), VALUE, "BUNDLE", "Leave out what this older bundle has; a build then takes both."),
    Option(("--cache",), FLAG, help="Add the steps of the last stage, or of each --target, that were built here."),
    Option(("--list",), VALUE, "BUNDLE", "Verify a bundle and list what is in it."),
    JSON,
    *(option for option in REQUEST if option.names[0] in _NEEDS),
    HELP,
)

# docker buildx build and docker build
_DOCKER = refused(
    "--attest --builder --cache-from --cache-to --cgroup-parent "
    "--compress --cpu-period --cpu-quota --cpu-shares/-c --cpuset-cpus --cpuset-mems --debug/-D "
    "--detach --disable-content-trust --force-rm --group --invoke --memory/-m --memory-swap "
    "--policy --print --provenance --proxy-network --resource --rm --root "
    "--sbom --security-opt --server-config --squash "
)
# buildah build, and podman build on top of it
_BUILDAH = refused(
    "--all-platforms --arch --blob-cache --build-arg-file --cache-ttl --cap-add --cap-drop "
    "--cgroupns --cni-config-dir --cni-plugin-path --compat-volumes --cpp-flag "
    "--created-annotation --cw --decryption-key --device --disable-compression --dns --dns-option "
    "--dns-search --env --format --from --group-add --hooks-dir --http-proxy --identity-label "
    "--ignorefile --iidfile-raw --inherit-annotations --inherit-labels --ipc --layer-label --layers "
    "--log-rusage --logfile --loglevel --logsplit --manifest --mount --no-hostname --no-hosts "
    "--no-pivot-root --omit-history --os --os-feature --os-version --pid --pull-always --pull-never "
    "--retry --retry-delay --rewrite-timestamp --runtime --runtime-flag --rusage-logfile --save-stages "
    "--sbom-image-output --sbom-image-purl-output --sbom-merge-strategy --sbom-output --sbom-purl-output "
    "--sbom-scanner-command --sbom-scanner-image --sign-by --signature-policy --skip-unused-stages "
    "--source-date-epoch --source-policy-file --squash-all --stage-labels --stdin --timestamp "
    "--transient-run-mount --unsetannotation --unsetenv --unsetlabel --userns "
    "--userns-gid-map --userns-gid-map-group --userns-uid-map --userns-uid-map-user --uts --variant "
    "--volume/-v"
)
NOT_YET = _DOCKER + _BUILDAH
