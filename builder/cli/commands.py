"""Every command with its options, as one table: what argv.py reads strictly and screens.py shows as help."""

from __future__ import annotations

from builder.cli.build_options import LOCK, MAKE_BUNDLE, NOT_YET, REPORT, REQUEST
from builder.cli.options import (
    FILE,
    FLAG,
    HELP,
    JSON,
    ONE_PLATFORM,
    PROGRESS,
    QUIET,
    REGISTRY,
    REPEAT,
    STORE,
    VALUE,
    Command,
    Option,
)


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
        MAKE_BUNDLE,
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
