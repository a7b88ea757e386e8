"""What a user sees of a wrong Dockerfile, whole: place, words, the marked line with its column, a hint."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from builder import building
from builder.cli.doors import Doors
from tests.support import golden
from tests.support.fake_rooms import rbuild, rooms

BAD = {
    "add-no-destination": "FROM scratch\nADD a\n",
    "arg-no-name": "FROM scratch\nARG =x\n",
    "check-option": "# check=skp=all\nFROM scratch\n",
    "check-twice": "# check=skip=A;skip=B\nFROM scratch\n",
    "cmd-in-nothing": "CMD true\nFROM scratch\n",
    "copy-chmod-equals": "FROM scratch\nCOPY --chmod a /\n",
    "copy-from-later": "FROM scratch\nCOPY --from=7 a /\n",
    "copy-unknown-flag": "FROM scratch\nCOPY --chwon=0:0 a /\n",
    "empty": "",
    "env-no-value": "FROM scratch\nENV A\n",
    "escape-token": "# escape=x\nFROM scratch\n",
    "expose-port": "FROM scratch\nEXPOSE 80 notaport\n",
    "expose-range": "FROM scratch\nEXPOSE 90-80\n",
    "from-as-no-name": "FROM scratch AS\n",
    "from-name": "FROM scratch AS Not/AName\n",
    "from-words": "FROM a b c d\n",
    "healthcheck-flag": "FROM scratch\nHEALTHCHECK --intervall=3s CMD true\n",
    "healthcheck-duration": "FROM scratch\nHEALTHCHECK --interval=3parsecs CMD true\n",
    "healthcheck-type": "FROM scratch\nHEALTHCHECK PING\n",
    "heredoc-open": "FROM scratch\nRUN <<EOF\necho\n",
    "label-no-value": "FROM scratch\nLABEL a\n",
    "lower-case-typo": "FROM scratch\ncpoy a /\n",
    "mount-key": "FROM scratch\nRUN --mount=type=cache,tarjet=/x true\n",
    "mount-no-target": "FROM scratch\nRUN --mount=type=cache true\n",
    "mount-sharing": "FROM scratch\nRUN --mount=type=cache,target=/x,sharing=some true\n",
    "mount-type": "FROM scratch\nRUN --mount=type=cash,target=/x true\n",
    "network-mode": "FROM scratch\nRUN --network=bridge true\n",
    "onbuild-chain": "FROM scratch\nONBUILD ONBUILD RUN x\n",
    "onbuild-from": "FROM scratch\nONBUILD FROM x\n",
    "onbuild-nothing": "FROM scratch\nONBUILD\n",
    "second-line-of-many": "FROM scratch\nCOPY --link \\\n\t--frm=x \\\n\ta /\n",
    "shell-form": "FROM scratch\nSHELL bash -c\n",
    "signal": "FROM scratch\nSTOPSIGNAL SIGNONE\n",
    "unknown-instruction": "FROM scratch\nRUM echo\n",
    "unclosed-quote": "FROM scratch\nENV A='x\n",
    "unclosed-brace": "FROM scratch\nENV A=${B\n",
    "user-nothing": "FROM scratch\nUSER\n",
    "variable-modifier": "FROM scratch\nENV A=${B?}\n",
    "variable-required": "FROM scratch\nENV A=${B:?must be given}\n",
    "volume-empty": "FROM scratch\nVOLUME []\n",
    "workdir-nothing": "FROM scratch\nWORKDIR\n",
}


@pytest.fixture
def doors() -> Doors:
    return rooms(build=building.build)


@pytest.mark.parametrize("name", BAD)
def test_the_whole_text(doors: Doors, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("Dockerfile").write_text(BAD[name])
    ran = rbuild("--store=store", "--progress=quiet", ".", doors=doors, environ=os.environ)

    assert (ran.status, ran.out) == (1, "")
    golden.check(f"errors/{name}.txt", BAD[name] + "-----\n" + ran.err)
    assert ran.err.startswith("error: ")
    assert "internal error" not in ran.err
