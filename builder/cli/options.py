"""Every command and every option, as one table: what argv.py reads strictly and screens.py shows as help.

An option of `docker buildx build` or `buildah build` that is not implemented has a row too, so that it
is refused by name: a build that silently ignored `--secret` or `--squash` would be wrong.
"""

from __future__ import annotations

from builder.values import NamedTuple

FLAG, VALUE, REPEAT, PAIR = "flag", "value", "repeat", "pair"


class Option(NamedTuple):
    """One option. `names` holds the long name first, then aliases and the one-letter form.

    kind: flag (also `--x=false`), value (the last one counts), repeat (all count, in order), pair
    (repeat, each `KEY=VALUE`; with `bare`, `KEY` alone is allowed too). `implied` is the value of a name that
    stands alone: another one is then written `--x=VALUE`, or with `loose` also `--x VALUE`, if it is no path.
    """

    names: tuple[str, ...]
    kind: str
    metavar: str = ""
    help: str = ""
    choices: tuple[str, ...] = ()
    bare: bool = False
    implied: str = ""
    loose: bool = False
    supported: bool = True

    @property
    def name(self) -> str:
        return self.names[0].removeprefix("--")


class Command(NamedTuple):
    """`run` is "module:function", imported when the command is chosen."""

    name: str
    summary: str
    run: str
    options: tuple[Option, ...]
    operands: str = ""
    least: int = 0
    most: int | None = 0


def refused(names: str) -> tuple[Option, ...]:
    return tuple(Option(tuple(name.split("/")), FLAG, help="not supported", supported=False) for name in names.split())


HELP = Option(("--help", "-h"), FLAG, help="Show this help and exit.")
STORE = Option(
    ("--store",),
    VALUE,
    "DIR",
    "Directory of images and cache. Default: $RBUILD_STORE, else ~/.local/share/rbuild.",
)
FILE = Option(("--file", "-f"), VALUE, "FILE", "The Dockerfile. Default: CONTEXT/Dockerfile.")

PROGRESS = Option(
    ("--progress",),
    VALUE,
    "MODE",
    "Progress on standard error. Default: auto, tty on a terminal, else plain.",
    ("auto", "plain", "tty", "json", "rawjson", "quiet"),
)

# How registries are reached: of every command that may reach one.
REGISTRY = (
    Option(
        ("--authfile",), VALUE, "FILE", "Credentials. Default: $REGISTRY_AUTH_FILE, auth.json, docker's config.json."
    ),
    Option(
        ("--creds",),
        VALUE,
        "[HOST=]USER[:PASSWORD]|-",
        "Credentials, for a build of one HOST; - or a missing password: standard input.",
    ),
    Option(("--tls-ca",), REPEAT, "FILE", "Trust the authorities in this PEM file too. May be repeated."),
    Option(("--tls-verify",), FLAG, help="Verify certificates and refuse plain HTTP. Default: true."),
    Option(
        ("--cert-dir",), VALUE, "DIR", "Authorities (*.crt) and client certificates (*.cert, *.key), as in certs.d."
    ),
    Option(("--insecure-registry",), REPEAT, "HOST[:PORT]", "Allow plain HTTP and any certificate for this registry."),
    Option(("--mirror",), REPEAT, "PREFIX=LOCATION", "Ask LOCATION first for images of PREFIX. May be repeated."),
    Option(
        ("--registries-conf",), VALUE, "FILE", "Mirrors and blocks. Default: the registries.conf of user and system."
    ),
)

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


def _places(names: str) -> tuple[Option, ...]:
    return tuple(option for option in REGISTRY if option.name in names.split())


LOGIN = (
    Option(("--username", "-u"), VALUE, "USER", "The user. Default: asked for on the terminal."),
    Option(
        ("--password-stdin",), FLAG, help="Read the password from standard input, instead of asking on the terminal."
    ),
    Option(("--password", "-p"), VALUE, "PASSWORD", "Refused: everybody on this machine could read it."),
    Option(("--get-login",), FLAG, help="Print the user who is logged in, and do nothing else."),
    *_places("authfile tls-ca tls-verify cert-dir insecure-registry registries-conf"),
    HELP,
)
JSON = Option(("--json",), FLAG, help="Print JSON.")

# What of a build decides what it needs from elsewhere.
_NEEDS = (
    "--file --build-arg --build-context --platform --secret --ssh --pull --offline --lock --locked --no-lock "
    "--bundle --store " + " ".join(option.names[0] for option in REGISTRY)
).split()
_BUNDLE = (
    Option(("--output", "-o"), VALUE, "DEST", "What is written: FILE.tar, a new directory, or - for standard output."),
    Option(("--target",), REPEAT, "STAGE", "What this stage needs. May be repeated. Default: all stages."),
    Option(("--since",), VALUE, "BUNDLE", "Leave out what this older bundle has; a build then takes both."),
    Option(("--cache",), FLAG, help="Add the steps of the last stage, or of each --target, that were built here."),
    Option(("--list",), VALUE, "BUNDLE", "Verify a bundle and list what is in it."),
    JSON,
    *(option for option in REQUEST if option.names[0] in _NEEDS),
    HELP,
)

ONE_PLATFORM = Option(("--platform",), VALUE, "OS/ARCH", "Of an index, take the image for this platform alone.")
QUIET = Option(("--quiet", "-q"), FLAG, help="No progress; print the digests alone.")
_PUSH = (
    Option(("--each",), FLAG, help="Push every REF under its own name."),
    ONE_PLATFORM,
    Option(("--digestfile",), VALUE, "FILE", "Write the digests of what was pushed to FILE, one a line."),
    PROGRESS,
    QUIET,
    *REGISTRY,
    STORE,
    HELP,
)
_COPY = (
    ONE_PLATFORM,
    Option(("--all",), FLAG, help="Of an index, take the images for all platforms. This is the default."),
    Option(("--digestfile",), VALUE, "FILE", "Write the digest of what was copied to FILE."),
    PROGRESS,
    QUIET,
    *REGISTRY,
    STORE,
    HELP,
)
_REMOTE = (
    Option(("--remote",), FLAG, help="Ask the registries, not the store."),
    Option(("--raw",), FLAG, help="Print the bytes of the manifest or index as they are."),
    ONE_PLATFORM,
    *REGISTRY,
    STORE,
    HELP,
)

COMMANDS: tuple[Command, ...] = (
    Command(
        "build",
        "Build an image from a Dockerfile. The word build may be left out.",
        "builder.cli.build:run",
        (*REQUEST, *REPORT, HELP, *NOT_YET),
        "[CONTEXT]",
        most=1,
    ),
    Command(
        "plan",
        "Show the steps that a build would take, without running any.",
        "builder.cli.show:plan",
        (*REQUEST, HELP, *NOT_YET),
        "[CONTEXT]",
        most=1,
    ),
    Command(
        "lock",
        "Write down what the sources of a Dockerfile are, in rbuild.lock beside it.",
        "builder.cli.lock:run",
        (*LOCK, HELP),
        "[CONTEXT]",
        most=1,
    ),
    Command("parse", "Show how a Dockerfile is read.", "builder.cli.show:parse", (FILE, HELP), "[CONTEXT]", most=1),
    Command(
        "load",
        "Put the images of an OCI or docker archive into the store; - reads standard input.",
        "builder.cli.load:run",
        (STORE, HELP),
        "FILE|-",
        least=1,
        most=1,
    ),
    Command(
        "pull",
        "Bring images from registries into the store.",
        "builder.cli.pull:run",
        (
            Option(
                ("--platform",), VALUE, "OS/ARCH", "Bring the image for this platform. Default: that of this machine."
            ),
            Option(("--all-platforms",), FLAG, help="Bring the images for all platforms."),
            PROGRESS,
            QUIET,
            *REGISTRY,
            STORE,
            HELP,
        ),
        "REF...",
        least=1,
        most=None,
    ),
    Command("push", "Send images of the store to registries.", "builder.cli.push:run", _PUSH, "REF [DEST]", 1, None),
    Command(
        "copy",
        "Copy an image between registries, OCI layouts (oci-layout://PATH[:TAG]) and the store (store://REF).",
        "builder.cli.copy:run",
        _COPY,
        "SRC DST",
        2,
        2,
    ),
    Command(
        "ls-tags",
        "List the tags of a repository.",
        "builder.cli.remote:tags",
        (JSON, *REGISTRY, HELP),
        "REPOSITORY",
        1,
        1,
    ),
    Command(
        "manifest",
        "manifest create: make an index of images, one for each platform, in the store.",
        "builder.cli.manifest:run",
        (
            Option(("--annotation",), REPEAT, "KEY=VALUE", "Annotate the index. May be repeated."),
            PROGRESS,
            QUIET,
            *REGISTRY,
            STORE,
            HELP,
        ),
        "create NAME REF...",
        3,
        None,
    ),
    Command(
        "bundle",
        "Put everything that a Dockerfile needs from elsewhere into one file, for builds without a network.",
        "builder.cli.bundle:run",
        _BUNDLE,
        "[CONTEXT]",
        most=1,
    ),
    Command(
        "save",
        "Write images of the store to one archive, for rbuild, docker, podman and skopeo.",
        "builder.cli.save:run",
        (
            Option(("--output", "-o"), VALUE, "FILE|-", "The archive. Default: -, standard output."),
            Option(
                ("--format",),
                VALUE,
                "FORM",
                "docker-archive, which is an OCI archive too and holds one platform, or oci-archive. "
                "Default: docker-archive.",
                ("docker-archive", "oci-archive"),
            ),
            Option(("--platform",), VALUE, "OS/ARCH", "Of an image of several platforms, this one."),
            STORE,
            HELP,
        ),
        "REF...",
        least=1,
        most=None,
    ),
    Command(
        "login",
        "Try credentials at a registry, and keep them. Default: docker.io.",
        "builder.cli.login:login",
        LOGIN,
        "[REGISTRY[/PATH]]",
        most=1,
    ),
    Command(
        "logout",
        "Forget the credentials for a registry. Default: docker.io.",
        "builder.cli.login:logout",
        (
            Option(("--all", "-a"), FLAG, help="Forget the credentials for all registries."),
            *_places("authfile registries-conf"),
            HELP,
        ),
        "[REGISTRY[/PATH]]",
        most=1,
    ),
    Command("images", "List the images in the store.", "builder.cli.images:images", (JSON, STORE, HELP)),
    Command(
        "inspect",
        "Print the config and manifest of images, as JSON.",
        "builder.cli.images:inspect",
        _REMOTE,
        "REF...",
        least=1,
        most=None,
    ),
    Command("rm", "Remove tags from the store.", "builder.cli.images:remove", (STORE, HELP), "REF...", 1, None),
    Command("tag", "Give an image one more name.", "builder.cli.images:tag", (STORE, HELP), "SRC DST", 2, 2),
    Command(
        "doctor",
        "Say what isolation this host gives, and what stands in the way.",
        "builder.cli.doctor:run",
        (JSON, STORE, HELP),
    ),
    Command("version", "Print the version.", "builder.cli.version:run", (HELP,)),
)


def command(name: str) -> Command | None:
    return next((each for each in COMMANDS if each.name == name), None)
