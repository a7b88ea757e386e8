"""When a registry is asked for an image, by the names of --pull.

          not in the store    in the store
missing   pull                take it
always    pull                ask; pull when the digest is another one
newer     pull                the same, but take it when asking or pulling fails, with a warning
never     refuse              take it
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from builder.errors import BuildError, Cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from builder.oci.descriptor import Descriptor


class Question(Protocol):
    """One image, as a registry may be asked about it. `pull` refuses where nobody may be asked."""

    def digest(self) -> str | None: ...

    def pull(self) -> Descriptor: ...

    def warn(self, reason: str) -> None: ...


def missing(found: Descriptor | None, question: Question) -> Descriptor:
    return found or question.pull()


def always(found: Descriptor | None, question: Question) -> Descriptor:
    if found is not None and question.digest() == found.digest:
        return found
    return question.pull()


def newer(found: Descriptor | None, question: Question) -> Descriptor:
    try:
        return always(found, question)
    except Cancelled:
        raise
    except BuildError as error:
        if found is None:
            raise
        question.warn(error.message)
        return found


POLICIES: Mapping[str, Callable[[Descriptor | None, Question], Descriptor]] = {
    "missing": missing,
    "always": always,
    "newer": newer,
    "never": missing,  # of a registry that refuses
}
