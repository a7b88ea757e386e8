"""Every folder of cases/ builds to what it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conformance.case import Case, build, part_of, read, shown_tree

CASES = sorted(path.parent for path in Path(__file__).parent.glob("cases/*/Dockerfile"))


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_case(folder: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The image is the expected one, the same to the byte in each tier; or the error names its place."""
    case = Case(folder)
    tiers = case.tiers()
    if not tiers:
        pytest.skip("this host gives no tier to RUN in")
    bases: list[str] = []
    if case.runs:
        bases = ["--build-context", f"busybox=oci-layout://{request.getfixturevalue('busybox_layout')}"]
    case.lay_out(tmp_path / "context")
    ran = [(tier, *build(case, tier, tmp_path, bases)) for tier in tiers]
    if case.text("error") is None:
        _check_image(case, ran, tmp_path)
    else:
        _check_error(case, ran)


def _check_image(case: Case, ran: list[tuple[str, int, str]], room: Path) -> None:
    for tier, status, err in ran:
        assert status == 0, f"tier {tier}: {err}"
    first, *others = (read(room, tier) for tier, _, _ in ran)
    tree, config = case.text("expected.tree"), case.text("expected.config")
    if tree is not None:
        assert shown_tree(first, without_base=case.runs) == tree.splitlines()
    if config is not None:
        expected = json.loads(config)
        assert part_of(first.config, expected) == expected
    for other in others:
        assert other == first


def _check_error(case: Case, ran: list[tuple[str, int, str]]) -> None:
    place, *texts = (case.text("error") or "").splitlines()
    for tier, status, err in ran:
        assert status == 1, f"tier {tier}: {err}"
        assert f"error: {place}" in err, f"tier {tier}"
        for text in texts:
            assert text in err, f"tier {tier}"
