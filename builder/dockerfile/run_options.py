"""What the request says about every RUN, and which rights a RUN may ask for (dockerfile-language 1.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.errors import DockerfileError
from builder.values import NamedTuple

if TYPE_CHECKING:
    from builder.dockerfile.instructions import Run
    from builder.dockerfile.surroundings import Surroundings

HOSTNAME = "buildkitsandbox"  # what RUN sees with the reference implementation
HOSTNAME_ARG = "BUILDKIT_SANDBOX_HOSTNAME"
LONGEST_HOSTNAME = 64  # bytes, of sethostname(2)


class Confinement(NamedTuple):
    """`hosts` are name and address, `ulimits` name, soft and hard limit; `allow` the rights that a RUN may use."""

    hosts: tuple[tuple[str, str], ...] = ()
    hostname: str = ""
    shm_size: int = 0
    ulimits: tuple[tuple[str, int, int], ...] = ()
    allow: frozenset[str] = frozenset()


def hostname(around: Surroundings) -> str:
    """--hostname, else the build argument, else the reference's."""
    given = around.build_arg(HOSTNAME_ARG)
    name = around.confinement.hostname or given or HOSTNAME
    if len(name.encode("utf-8", "surrogateescape")) > LONGEST_HOSTNAME or not name.isprintable() or " " in name:
        raise DockerfileError(
            f"{name!r} cannot be the host name of a RUN",
            hint=f"at most {LONGEST_HOSTNAME} bytes without blanks (--hostname, --build-arg {HOSTNAME_ARG})",
        )
    return name


def check_rights(item: Run, allow: frozenset[str]) -> None:
    """A Dockerfile cannot take what the one who builds it has not given. DockerfileError with the place."""
    if item.network == "host" and "network.host" not in allow:
        raise _refusal(item, "--network=host", "network.host", "--allow network.host or --network=host")
    if item.security == "insecure" and "security.insecure" not in allow:
        raise _refusal(item, "--security=insecure", "security.insecure", "--allow security.insecure")


def _refusal(item: Run, flag: str, right: str, remedy: str) -> DockerfileError:
    return DockerfileError(
        f"RUN {flag}: the right {right} is not allowed",
        span=item.span,
        hint=f"if you trust this Dockerfile, build with {remedy}",
    )
