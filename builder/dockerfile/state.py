"""The values that lowering folds: what is known of a stage after each instruction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.dockerfile.epoch_value import Epoch
from builder.dockerfile.pairs import pairs_of
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
    """

    root: str
    config: ImageConfig
    base: ResolvedImage | None = None
    made: tuple[str, ...] = ()
    history: tuple[History, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    args: tuple[tuple[str, str], ...] = ()
    cmd_set: bool = False
    platform: Platform | None = None

    @property
    def scope(self) -> Mapping[str, str]:
        """What $NAME means now; not to be kept beyond the next declaration."""
        return pairs_of(self.variables).by_name

    def declare(self, *pairs: tuple[str, str]) -> StageState:
        """The last declaration of a name wins and keeps the place of the first."""
        return self._replace(variables=pairs_of(self.variables).merged(pairs))

    def grown(self, root: str, told: History, layer: str = "") -> StageState:
        """The state after an op that made a layer: `layer` where that is independent of the root, else the root."""
        return self._replace(root=root, made=(*self.made, layer or root), history=(*self.history, told))

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
