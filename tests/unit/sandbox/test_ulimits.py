"""The limits of a step."""

from __future__ import annotations

import resource

import pytest

from builder.errors import SandboxError
from builder.sandbox.ulimits import limits


def test_a_given_limit_replaces_the_usual_one() -> None:
    found = {number: values for number, *values in limits((("nofile", 10, 20), ("locks", 5, -1)))}

    assert found[resource.RLIMIT_NOFILE] == [10, 20]
    assert found[resource.RLIMIT_CORE] == [0, 0]
    assert found[10] == [5, 2**64 - 1]


def test_a_limit_above_the_hosts_is_an_error() -> None:
    """No user namespace gives the right to raise a hard limit."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1]

    with pytest.raises(SandboxError, match=f"nofile={allowed + 1} is above the hard limit of this process, {allowed}"):
        limits((("nofile", 1, allowed + 1),))
    with pytest.raises(SandboxError, match="nofile=-1"):
        limits((("nofile", -1, -1),))
