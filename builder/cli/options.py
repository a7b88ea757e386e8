"""What an option and a command are, and the options that several commands share."""

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

JSON = Option(("--json",), FLAG, help="Print JSON.")
ONE_PLATFORM = Option(("--platform",), VALUE, "OS/ARCH", "Of an index, take the image for this platform alone.")
QUIET = Option(("--quiet", "-q"), FLAG, help="No progress; print the digests alone.")
