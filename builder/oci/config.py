"""The image config (image-spec config.md, with Docker's Healthcheck, Shell and OnBuild)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.errors import DocumentError
from builder.oci.digest import parse_digest
from builder.oci.json import Extra, Fields, build, decode, encode
from builder.oci.platform import Platform
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


class Healthcheck(NamedTuple):
    """`test` is ("NONE",), ("CMD", …) or ("CMD-SHELL", text); durations are nanoseconds, 0 = default."""

    test: tuple[str, ...]
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0
    extra: Extra = ()

    def as_json(self) -> dict[str, object]:
        members = (
            ("Test", list(self.test) or None),
            ("Interval", self.interval or None),
            ("Timeout", self.timeout or None),
            ("StartPeriod", self.start_period or None),
            ("StartInterval", self.start_interval or None),
            ("Retries", self.retries or None),
        )
        return build(members, self.extra)


class History(NamedTuple):
    created: str = ""
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False
    extra: Extra = ()

    def as_json(self) -> dict[str, object]:
        members = (
            ("created", self.created),
            ("created_by", self.created_by),
            ("author", self.author),
            ("comment", self.comment),
            ("empty_layer", self.empty_layer),
        )
        return build(members, self.extra)


class ImageConfig(NamedTuple):
    """`created` is RFC 3339 text or "". None and () differ for `entrypoint` and `cmd`: absent, and empty.

    `extra` keeps the unknown members of the document, `config_extra` those of its "config" object.
    """

    os: str = "linux"
    architecture: str = "amd64"
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()
    created: str = ""
    author: str = ""
    user: str = ""
    exposed_ports: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    healthcheck: Healthcheck | None = None
    args_escaped: bool = False
    volumes: tuple[str, ...] = ()
    working_dir: str = ""
    on_build: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    stop_signal: str = ""
    shell: tuple[str, ...] | None = None
    diff_ids: tuple[str, ...] = ()
    history: tuple[History, ...] = ()
    config_extra: Extra = ()
    extra: Extra = ()
    raw: bytes = b""

    @property
    def platform(self) -> Platform:
        return Platform(self.os, self.architecture, self.variant, self.os_version, self.os_features)

    @property
    def whole_history(self) -> tuple[History, ...]:
        """The history with an entry for each layer: to tell of layers is optional (image-spec, config.md)."""
        told = sum(not entry.empty_layer for entry in self.history)
        return (*self.history, *[History()] * (len(self.diff_ids) - told))

    def encode(self) -> bytes:
        """Deterministic bytes of the fields; ignores `raw`."""
        members = (
            ("created", self.created),
            ("author", self.author),
            ("architecture", self.architecture),
            ("variant", self.variant),
            ("os", self.os),
            ("os.version", self.os_version),
            ("os.features", list(self.os_features) or None),
            ("config", self._runtime() or None),
            ("rootfs", {"type": "layers", "diff_ids": list(self.diff_ids)}),
            ("history", [entry.as_json() for entry in self.history] or None),
        )
        return encode(build(members, self.extra))

    def _runtime(self) -> dict[str, object]:
        members = (
            ("User", self.user),
            ("ExposedPorts", _set(self.exposed_ports)),
            ("Env", [f"{name}={value}" for name, value in self.env] or None),
            ("Entrypoint", _list(self.entrypoint)),
            ("Cmd", _list(self.cmd)),
            ("Healthcheck", self.healthcheck.as_json() if self.healthcheck else None),
            ("ArgsEscaped", self.args_escaped),
            ("Volumes", _set(self.volumes)),
            ("WorkingDir", self.working_dir),
            ("OnBuild", list(self.on_build) or None),
            ("Labels", dict(sorted(self.labels)) or None),
            ("StopSignal", self.stop_signal),
            ("Shell", _list(self.shell)),
        )
        return build(members, self.config_extra)


def parse_config(raw: bytes) -> ImageConfig:
    """The config in `raw`, or DocumentError naming the member that is wrong."""
    fields = Fields(decode(raw, "image config"), "image config")
    diff_ids = fields.one("rootfs", _diff_ids)
    if diff_ids is None:
        raise DocumentError("image config: rootfs is missing")
    config = ImageConfig(
        os=fields.required("os"),
        architecture=fields.required("architecture"),
        variant=fields.text("variant"),
        os_version=fields.text("os.version"),
        os_features=fields.texts("os.features") or (),
        created=fields.text("created"),
        author=fields.text("author"),
        diff_ids=diff_ids,
        history=fields.each("history", _history),
        raw=raw,
    )
    runtime = fields.one("config", Fields)
    return _with_runtime(config, runtime or Fields({}, ""))._replace(extra=fields.rest())


def _with_runtime(config: ImageConfig, fields: Fields) -> ImageConfig:
    return config._replace(
        user=fields.text("User"),
        exposed_ports=fields.names("ExposedPorts"),
        env=tuple(_variable(entry) for entry in fields.texts("Env") or ()),
        entrypoint=fields.texts("Entrypoint"),
        cmd=fields.texts("Cmd"),
        healthcheck=fields.one("Healthcheck", _healthcheck),
        args_escaped=fields.flag("ArgsEscaped"),
        volumes=fields.names("Volumes"),
        working_dir=fields.text("WorkingDir"),
        on_build=fields.texts("OnBuild") or (),
        labels=fields.mapping("Labels"),
        stop_signal=fields.text("StopSignal"),
        shell=fields.texts("Shell"),
        config_extra=fields.rest(),
    )


def _variable(entry: str) -> tuple[str, str]:
    name, _, value = entry.partition("=")
    return name, value


def _diff_ids(document: object, what: str) -> tuple[str, ...]:
    fields = Fields(document, what)
    if fields.required("type") != "layers":
        raise fields.fault("type", "'layers'")
    return tuple(parse_digest(diff_id) for diff_id in fields.texts("diff_ids") or ())


def _history(document: object, what: str) -> History:
    fields = Fields(document, what)
    return History(
        created=fields.text("created"),
        created_by=fields.text("created_by"),
        author=fields.text("author"),
        comment=fields.text("comment"),
        empty_layer=fields.flag("empty_layer"),
        extra=fields.rest(),
    )


def _healthcheck(document: object, what: str) -> Healthcheck:
    fields = Fields(document, what)
    return Healthcheck(
        test=fields.texts("Test") or (),
        interval=fields.number("Interval"),
        timeout=fields.number("Timeout"),
        start_period=fields.number("StartPeriod"),
        start_interval=fields.number("StartInterval"),
        retries=fields.number("Retries"),
        extra=fields.rest(),
    )


def _list(items: tuple[str, ...] | None) -> list[str] | None:
    return None if items is None else list(items)


def _set(names: Iterable[str]) -> dict[str, object] | None:
    """The spec writes a set as an object of empty objects."""
    return {name: {} for name in sorted(names)} or None
