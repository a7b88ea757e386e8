"""The values that lowering folds: what is known of a stage after each instruction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.dockerfile.chain import Chain
from builder.dockerfile.epoch_value import Epoch
from builder.dockerfile.pairs import Pairs
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from builder.graph.graph import Graph
    from builder.oci.config import History, ImageConfig
    from builder.oci.platform import Platform
    from builder.oci.resolved import ResolvedImage

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_SHELL = ("/bin/sh", "-c")


class StageState(NamedTuple):
    """`variables` is what $NAME means now, in order of declaration; `args` are the declared ARGs that have a value.

    `platform` is that of the stage's programs.
    `made` are the ops whose layers come on top of those of `base`; `history` is that of this file alone.
    What grows with the file is kept beside `config`, and put into it at the end (`finished`).
    """

    root: str
    config: ImageConfig
    base: ResolvedImage | None
    made: Chain[str]
    history: Chain[History]
    variables: Pairs
    args: Pairs
    env: Pairs
    labels: Pairs
    ports: Chain[str]
    volumes: Chain[str]
    triggers: Chain[str]
    cmd_set: bool = False
    platform: Platform | None = None

    @classmethod
    def begun(cls, root: str, config: ImageConfig, platform: Platform, base: ResolvedImage | None = None) -> StageState:
        """The state of a stage that begins with `config`, that of `base` if there is one."""
        return cls(
            root=root,
            config=config,
            base=base,
            made=Chain(),
            history=Chain(),
            variables=Pairs(config.env),
            args=Pairs(),
            env=Pairs(config.env),
            labels=Pairs(config.labels),
            ports=Chain(config.exposed_ports),
            volumes=Chain(config.volumes),
            triggers=Chain(config.on_build),
            platform=platform,
        )

    def finished(self) -> ImageConfig:
        """The config with all that the instructions have added; the base's history is below that of this file."""
        below = self.base.config.history if self.base else ()
        if self.base and len(self.history):
            below = self.base.config.whole_history
        return self.config._replace(
            env=self.env.items,
            labels=self.labels.items,
            exposed_ports=tuple(sorted(set(self.ports))),
            volumes=tuple(sorted(set(self.volumes))),
            on_build=tuple(self.triggers),
            history=(*below, *self.history),
        )

    @property
    def scope(self) -> Mapping[str, str]:
        """What $NAME means now; not to be kept beyond the next declaration."""
        return self.variables.by_name

    def declare(self, *pairs: tuple[str, str]) -> StageState:
        """The last declaration of a name wins and keeps the place of the first."""
        return self._replace(variables=self.variables.merged(pairs))

    def grown(self, root: str, told: History, layer: str = "") -> StageState:
        """The state after an op that made a layer: `layer` where that is independent of the root, else the root."""
        return self._replace(root=root, made=self.made.plus(layer or root), history=self.history.plus(told))

    def told(self, told: History) -> StageState:
        return self._replace(history=self.history.plus(told))

    @property
    def shell(self) -> tuple[str, ...]:
        return self.config.shell or DEFAULT_SHELL

    @property
    def workdir(self) -> str:
        return self.config.working_dir or "/"


class Plan(NamedTuple):
    """What to build: `target` is the op of the final root; its layers are those of `base`, then one for each `made`.

    `fresh` are ops to be run whatever the cache has, `epoch` is what stands for the time of the build.
    """

    graph: Graph
    stage: str
    target: str
    base: ResolvedImage | None
    made: tuple[str, ...]
    config: ImageConfig
    unused_args: tuple[str, ...]
    fresh: frozenset[str] = frozenset()
    epoch: Epoch = Epoch()
