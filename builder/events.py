"""What a build tells while it works: immutable events, folded by the renderers in `builder.progress`.

    BuildStarted ─► (StepQueued …) ─► StepStarted ─► StepLog* ─► StepFinished | StepFailed | StepCancelled
                                  └─► StepCached └─► StepTransfer*
                 ─► Notice* | CheckWarning* ─► ImageReady | Exported  ─► BuildFinished

`step` is the display name "[build-client 2/3] RUN go build …"; `id` is short, unique within the build
and stable. Times are seconds of `time.monotonic()`, set by the emitter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from builder.values import NamedTuple

if TYPE_CHECKING:
    from builder.errors import Span


class BuildStarted(NamedTuple):
    time: float
    dockerfile: str
    target: str
    steps: int
    tier: str


class StepStarted(NamedTuple):
    """`digest` is that of the step's op, `inputs` are those of the shown steps that it reads."""

    time: float
    id: str
    stage: str
    step: str
    span: Span | None
    digest: str = ""
    inputs: tuple[str, ...] = ()


class StepLog(NamedTuple):
    """One line of output without its newline. `stream` is 1 (stdout) or 2 (stderr)."""

    time: float
    id: str
    stream: int
    line: str


class StepTransfer(NamedTuple):
    """Of the `total` bytes of a layer that a step brings from a registry, `current` are here."""

    time: float
    id: str
    digest: str
    current: int
    total: int


class StepCached(NamedTuple):
    time: float
    id: str
    stage: str
    step: str
    span: Span | None
    digest: str = ""
    inputs: tuple[str, ...] = ()


class StepFinished(NamedTuple):
    time: float
    id: str
    stage: str
    step: str
    seconds: float


class StepFailed(NamedTuple):
    time: float
    id: str
    stage: str
    step: str
    seconds: float
    message: str


class StepCancelled(NamedTuple):
    time: float
    id: str
    stage: str
    step: str


class Notice(NamedTuple):
    """Something the user should know that is no error: a warning or a plain remark."""

    time: float
    level: str  # "warning" | "info"
    message: str
    span: Span | None = None


class CheckWarning(NamedTuple):
    """A build check that fired: `description` is that of the rule, `detail` says what is the matter at `span`."""

    time: float
    rule: str
    description: str
    url: str
    detail: str
    span: Span | None


class ImageReady(NamedTuple):
    time: float
    name: str  # the tag, or "" for an untagged image
    digest: str
    size: int  # bytes of all layers and documents


class Exported(NamedTuple):
    time: float
    kind: str
    destination: str
    digest: str


class BuildFinished(NamedTuple):
    time: float
    seconds: float
    cached: int
    executed: int


Event = (
    BuildStarted
    | StepStarted
    | StepLog
    | StepTransfer
    | StepCached
    | StepFinished
    | StepFailed
    | StepCancelled
    | Notice
    | CheckWarning
    | ImageReady
    | Exported
    | BuildFinished
)
Emit = Callable[[Event], None]


class Flag(Protocol):
    """Set by whoever wants to stop a build, watched by everything that takes long; `threading.Event` is one."""

    def is_set(self) -> bool: ...
