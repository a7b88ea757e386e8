"""One build's events: two stages at once, a cached step, a failure, a cancellation, a result."""

from __future__ import annotations

from builder.errors import Span
from builder.events import (
    BuildFinished,
    BuildStarted,
    CheckWarning,
    Event,
    Exported,
    ImageReady,
    Notice,
    StepCached,
    StepCancelled,
    StepFailed,
    StepFinished,
    StepLog,
    StepStarted,
    StepTransfer,
)

BASE = "[base 1/2] FROM golang:1.21-alpine"
CLIENT = "[build-client 1/1] RUN go build -o /bin/client ./cmd/client"
SERVER = "[build-server 1/1] RUN <<EOF\ngo build\nEOF"

EVENTS: tuple[Event, ...] = (
    BuildStarted(100.0, "Dockerfile", "client", 4, "userns"),
    Notice(100.0, "warning", "the tag is not used", Span("Dockerfile", 3, 3)),
    CheckWarning(
        100.0,
        "StageNameCasing",
        "Stage names should be lowercase",
        "https://docs.docker.com/go/dockerfile/rule/stage-name-casing/",
        "Stage name 'Base' should be lowercase \x1b[2J",
        Span("Dockerfile", 1, 2),
    ),
    StepCached(100.1, "1", "base", BASE, Span("Dockerfile", 1, 1)),
    StepStarted(100.2, "2", "build-client", CLIENT, Span("Dockerfile", 5, 5)),
    StepStarted(100.25, "3", "build-server", SERVER, Span("Dockerfile", 8, 10)),
    StepLog(100.712, "2", 2, "go: downloading github.com/charmbracelet/bubbletea v0.23.1"),
    StepLog(101.0, "3", 1, "10%\r20%\r100%\r"),
    StepLog(101.1, "3", 2, "\x1b[31mred\x1b[0m \x1b[2Jcleared \x07 caf\u00e9 \udcff"),
    StepLog(101.2, "2", 1, ""),
    StepTransfer(101.3, "2", "sha256:" + "ef" * 32, 1_048_576, 3_400_000),
    StepTransfer(101.6, "2", "sha256:" + "ef" * 32, 3_400_000, 3_400_000),
    StepFinished(103.4, "2", "build-client", CLIENT, 3.2),
    StepFailed(104.0, "3", "build-server", SERVER, 3.75, "exit code 2"),
    StepStarted(104.0, "4", "", "exporting", None),
    StepCancelled(104.1, "4", "", "exporting"),
    ImageReady(104.2, "docker.io/library/client:latest", "sha256:" + "ab" * 32, 12_345_678),
    ImageReady(104.2, "", "sha256:" + "cd" * 32, 999),
    Exported(104.3, "oci", "out.tar", "sha256:" + "ab" * 32),
    Notice(104.4, "info", "ten steps were not needed"),
    BuildFinished(164.5, 64.5, 1, 2),
)
