"""Choosing a tier, with fakes for what the host says; and what errors and hints say."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.errors import SandboxError, UsageError
from builder.sandbox import capabilities, hints, idmaps, mounts, network, remedies, tiers, userns
from builder.sandbox.idmaps import Extent, IdMaps, NoSubIds
from builder.sandbox.output import LONGEST_LINE, Lines
from builder.sandbox.probe import Refusal
from tests.support.forked import forked

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

REFUSED = Refusal("tier T: unshare: Operation not permitted [EPERM]", "do something")
NO_RANGE = NoSubIds("no range", hint="add one", expected=False)
NO_HELPER = NoSubIds("newuidmap is not installed", hint="install it", expected=True)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A host with these answers; no kernel is asked."""

    def set_up(*, ids: NoSubIds | None = None, **refused: Refusal) -> None:
        def many() -> IdMaps:
            if ids:
                raise ids
            return IdMaps((), (), helpers=True)

        monkeypatch.setattr(tiers, "_answers", {})
        monkeypatch.setattr(tiers, "_probe", lambda tier, store: refused.get(tier))
        monkeypatch.setattr(idmaps, "many", many)

    return set_up


@pytest.mark.parametrize(
    ("ids", "refused", "tier", "notice"),
    [
        (None, {}, "userns", None),
        (NO_RANGE, {}, "single", None),
        (NO_HELPER, {}, "single", "newuidmap is not installed"),
        (None, {"userns": REFUSED}, "single", "unshare"),
    ],
)
def test_the_strongest_tier_is_chosen(
    host: Callable[..., None],
    ids: NoSubIds | None,
    refused: dict[str, Refusal],
    tier: str,
    notice: str | None,
) -> None:
    """Having no range is ordinary; having one that cannot be used is worth a notice."""
    host(ids=ids, **refused)

    assert tiers.choose(None, needs_run=True) == tier
    assert (notice is None) == (tiers.notice() is None)
    assert (notice or "") in (tiers.notice() or "")


def test_no_sandbox_at_all_names_the_refused_call(host: Callable[..., None]) -> None:
    """With the remedy as hint."""
    host(ids=NO_RANGE, single=REFUSED)

    with pytest.raises(SandboxError, match=r"no sandbox.*unshare.*EPERM") as caught:
        tiers.choose(None, needs_run=True)
    assert caught.value.hint == "do something"


def test_a_build_without_run_asks_nothing(host: Callable[..., None]) -> None:
    """A-T2: no probe, so no refusal either."""
    host(userns=REFUSED, single=REFUSED)

    assert tiers.choose(None, needs_run=False) == "none"


def test_a_requested_tier_is_taken_or_refused(host: Callable[..., None]) -> None:
    """Never another one."""
    host(userns=REFUSED)

    assert tiers.choose("single", needs_run=True) == "single"
    assert tiers.choose("none", needs_run=False) == "none"
    with pytest.raises(SandboxError, match="unshare"):
        tiers.choose("userns", needs_run=True)
    with pytest.raises(SandboxError, match="none"):
        tiers.choose("none", needs_run=True)
    with pytest.raises(SandboxError, match="not supported yet"):
        tiers.choose("chroot", needs_run=True)
    with pytest.raises(UsageError, match="docker"):
        tiers.choose("docker", needs_run=False)


def test_owners_follow_the_tier() -> None:
    """Real ids on disk need a map of many."""
    assert [tiers.owners_of(tier) for tier in tiers.TIERS] == ["real", "recorded", "recorded"]


def test_refused_unshare_is_found_and_explained_for_real(tmp_path: Path) -> None:
    """In a namespace that allows no further ones, the sysctl that refuses is named."""

    def forbid_and_choose() -> SandboxError | None:
        userns._enter(idmaps.single())
        with open("/proc/sys/user/max_user_namespaces", "w") as file:
            file.write("0")
        try:
            tiers.choose("single", needs_run=True, store=str(tmp_path))
        except SandboxError as error:
            return error
        return None

    error = forked(forbid_and_choose)

    assert error is not None
    assert "unshare: No space left on device [ENOSPC]" in error.message
    assert "max_user_namespaces is 0" in (error.hint or "")


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("mount proc", "systempaths"),
        ("mount overlay", "5.11"),
        ("write id maps", "newuidmap"),
        ("pivot_root", "seccomp"),
    ],
)
def test_each_refusal_has_a_remedy(step: str, words: str) -> None:
    """H-T4: step, path, errno and what to change."""
    error = remedies.explain(OSError(errno.EPERM, f"{step}: Operation not permitted", b"/x"), "single")

    assert error.message == f"tier single: {step}: Operation not permitted (/x) [EPERM]"
    assert words in (error.hint or "")


# ---- id maps --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ([(0, 0, 4294967295)], [(0, 0, 65536)]),
        ([(0, 1000, 1), (1, 165536, 65536)], [(0, 0, 1), (1, 1, 65535)]),
        ([(0, 1000, 1)], None),
        ([(0, 0, 1000), (2000, 2000, 100000)], None),
    ],
)
def test_root_maps_itself_within_its_own_map(
    own: list[tuple[int, int, int]], expected: list[tuple[int, int, int]] | None
) -> None:
    """The kernel wants each extent inside one of the parent's."""
    assert idmaps._identity([Extent(*row) for row in own]) == (expected and tuple(expected))


def test_subordinate_ranges_are_found_by_name_or_number(tmp_path: Path) -> None:
    """Comments, blanks and other users are passed over; a range that is too small is none."""
    file = tmp_path / "subuid"
    file.write_text("# comment\n\nother:100:65536\n4242:200000:30000\n4242:300000:40000\nbad:x\n")

    assert idmaps._ranges(str(file), 4242) == [(200000, 30000), (300000, 40000)]
    assert idmaps._extents(4242, idmaps._ranges(str(file), 4242)) == (
        (0, 4242, 1),
        (1, 200000, 30000),
        (30001, 300000, 35535),
    )
    file.write_text("4242:1:1000\n")
    assert idmaps._ranges(str(file), 4242) == []
    assert idmaps._ranges(str(tmp_path / "none"), 4242) == []


# ---- the small ones -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "chown: /bin: Invalid argument",
        "E: setgroups 65534 failed - setgroups (1: Operation not permitted)",
        "error: unpacking of archive failed: cpio: chown",
        "tar: etc/shadow: Cannot change ownership to uid 0, gid 42: Invalid argument",
        "dpkg: error setting ownership of './var/mail': Operation not permitted",
    ],
)
def test_what_smells_of_ownership_gets_a_hint(line: str) -> None:
    """Only in tier single, and only when the step failed."""
    assert "newuidmap" in (hints.hint_for_failure("single", 1, ["x", line]) or "")
    assert hints.hint_for_failure("userns", 1, [line]) is None
    assert hints.hint_for_failure("single", 0, [line]) is None
    assert hints.hint_for_failure("single", 1, ["cc: error: no input files"]) is None


def test_default_capabilities_are_dockers() -> None:
    """By mask; a user starts with none."""
    assert (capabilities.DEFAULT, len(capabilities.NUMBERS)) == (0xA80425FB, 14)
    assert (capabilities.effective(0), capabilities.effective(1)) == (capabilities.DEFAULT, 0)


def test_networks() -> None:
    """A missing resolv.conf is an empty one."""
    assert (network.flag("host"), network.flag("none")) == (0, 0x40000000)
    assert network.read("/does/not/exist") == b""
    with pytest.raises(SandboxError):
        network.flag("bridge")


def test_proc_comes_first_and_its_masks_last() -> None:
    """What is masked must be there, and /dev/null must be ours."""
    steps = mounts.furnish(own_network=True, many_ids=True, hosts=b"", resolv_conf=b"")
    targets = [(step[0], step[2]) for step in steps]

    assert targets[0] == ("mount", b"/proc")
    assert targets.index(("bind", b"/dev/null")) < targets.index(("alias", b"/proc/keys"))
    assert targets.count(("unlink", b"/dev/.rbuild")) == 2


@settings(database=None)
@given(st.lists(st.binary(max_size=40)))
def test_lines_are_whole_whatever_the_pieces(pieces: list[bytes]) -> None:
    """No byte is lost or invented; the end needs no newline."""
    lines: list[bytes] = []
    cutter = Lines(lines.append)
    for piece in pieces:
        cutter.feed(piece)
    cutter.finish()
    whole = b"".join(pieces)

    assert lines == (whole[:-1] if whole.endswith(b"\n") else whole).split(b"\n") or (not whole and not lines)


def test_endless_lines_come_in_pieces() -> None:
    """Memory is bounded by one line's limit."""
    lines: list[bytes] = []
    cutter = Lines(lines.append)
    for _ in range(10):
        cutter.feed(b"x" * LONGEST_LINE + b"y")
    cutter.feed(b"\n")

    assert max(map(len, lines)) <= LONGEST_LINE
    assert len(b"".join(lines)) == 10 * (LONGEST_LINE + 1)
