"""What lowering an instruction may ask for beside the state of its stage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from builder.dockerfile.run_options import Confinement
    from builder.dockerfile.stages import Stage, StageGraph
    from builder.dockerfile.state import StageState
    from builder.errors import Span
    from builder.graph.graph import GraphBuilder, Note
    from builder.graph.ops import Op
    from builder.oci.platform import Platform


class Surroundings(Protocol):
    """`contexts` names the directories that --from may mean; `globals` holds the ARGs before the first FROM."""

    builder: GraphBuilder
    stages: StageGraph
    globals: dict[str, str]
    escape: str
    network: str
    confinement: Confinement
    contexts: frozenset[str]
    build_platform: Platform

    def build_arg(self, name: str) -> str | None:
        """The value of --build-arg, when there is one."""
        ...

    def state_of(self, stage: Stage) -> StageState: ...

    def image_root(self, name: str, span: Span) -> str:
        """The op of an image that --from names."""
        ...

    def fetched(self, op: Op, shown: str, span: Span) -> str:
        """The op of something that is fetched; `shown` is its address for people."""
        ...

    def note(self, text: str, span: Span) -> Note:
        """How the next step of this stage is shown: [build 2/5] …"""
        ...
