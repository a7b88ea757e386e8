"""E4, E-T6: --build-ca is trusted by every RUN, wherever a distribution looks, and the image knows nothing of it."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest

from builder.executor.trust import BUNDLES, FILE, VARIABLES
from tests.support.authority import Authority
from tests.support.builds import Build, build, write_context
from tests.support.command import tier_works
from tests.support.tools import need_tool

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.command import Rbuild

OWN = "# the image's own authorities\n"
# A bundle at once in each place where one is looked for, so that one step can do something else to each.
REWRITES = (
    "echo fresh >/etc/new && mv -f /etc/new $1",
    "echo mine >>$2",
    "chmod 600 $3; cat $3 >/etc/copy",
    "touch -d @7 $4; cp -p $4 $4.copy",
    "mv $5 $5.bak",
    "ln $6 /etc/hard",
    "sed -i s/own/other/ $7",
    "touch ${8%/*}/neighbour",
    "rm $9",
    "rm -r ${10%/*}; mkdir ${10%/*}; echo new >${10}",
)
DISTRIBUTIONS = """\
FROM busybox AS debian
COPY bundle /etc/ssl/certs/ca-certificates.crt
FROM debian AS alpine
RUN ln -s certs/ca-certificates.crt /etc/ssl/cert.pem && chmod 750 /etc/ssl
FROM busybox AS fedora
COPY bundle /etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem
RUN mkdir -p /etc/ssl /etc/pki/tls/certs; cd /etc/pki/tls; ln -s ../pki/tls/certs /etc/ssl/certs; \\
    ln -s /etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem certs/ca-bundle.crt; ln -s certs/ca-bundle.crt cert.pem
"""
SEEN = "test $(grep -c 'BEGIN CERT' $f) = 1 && head -n 1 $f | grep -q own && echo $f >>/seen || exit 1"
PLACES = {
    "debian": "/etc/ssl/certs/ca-certificates.crt",
    "alpine": "/etc/ssl/certs/ca-certificates.crt /etc/ssl/cert.pem",
    "fedora": "/etc/pki/tls/certs/ca-bundle.crt /etc/pki/tls/cert.pem /etc/ssl/certs/ca-bundle.crt",
}


def lines(built: Build) -> list[str]:
    return [event["line"] for event in built["StepLog"]]


def traces(root: Path, authority: Authority) -> list[str]:
    """The files of a store that hold anything of the authority, in layers of any kind, documents, records or logs."""
    pem = authority.certificate.read_text()
    marks = [b"rbuild --build-ca", pem.splitlines()[4].encode(), ssl.PEM_cert_to_DER_cert(pem)[100:160]]
    return [str(path) for path in root.rglob("*") if path.is_file() and _holds(path, marks)]


def _holds(path: Path, marks: list[bytes]) -> bool:
    content = path.read_bytes()
    if content.startswith(b"\x1f\x8b"):
        content = gzip.decompress(content)
    return any(mark in content for mark in marks)


def test_every_distribution_trusts_it_and_nothing_keeps_it(
    rbuild: Rbuild, base: str, tmp_path: Path, authority: Authority
) -> None:
    """The same digest and the same cache with and without; no blob, record or log has a trace."""
    text = DISTRIBUTIONS
    for name, places in PLACES.items():
        text += f"FROM {name} AS {name}-run\nRUN for f in {places} $SSL_CERT_FILE; do {SEEN}; done\n"
    text += "FROM scratch\n" + "".join(f"COPY --from={name}-run /etc /seen /{name}/\n" for name in PLACES)
    context = write_context(tmp_path / "c", text, {"bundle": OWN})

    trusting = build(rbuild, f"--build-ca={authority.certificate}", "-t", "trusting", context)
    assert not traces(rbuild.store, authority)
    cached = build(rbuild, context)
    assert trusting.digest == cached.digest
    assert cached["BuildFinished"][0]["executed"] == 0


def test_environment_names_it_unless_the_file_does(
    rbuild: Rbuild, base: str, tmp_path: Path, authority: Authority
) -> None:
    """In an image without a bundle, too; the name is of no layer, and its config says nothing of it."""
    text = "FROM busybox\nENV PIP_CERT=/mine\nARG AWS_CA_BUNDLE=/my-arg\nUSER 65534\n"
    text += "RUN env; cat $SSL_CERT_FILE >/dev/null || echo unreadable; test ! -e /etc/ssl || echo made\n"
    context = write_context(tmp_path / "c", text)
    if not tier_works("userns"):  # a step of one id has no other user
        write_context(context, text.replace("USER 65534\n", ""))
    told_with = build(rbuild, f"--build-ca={authority.certificate}", "-t", "app", context)
    said = dict(line.split("=", 1) for line in lines(told_with) if "=" in line)

    assert {said[name] for name in VARIABLES if name not in ("PIP_CERT", "AWS_CA_BUNDLE")} == {FILE}
    assert (said["PIP_CERT"], said["AWS_CA_BUNDLE"]) == ("/mine", "/my-arg")
    assert not {"unreadable", "made"} & set(lines(told_with))
    assert FILE not in rbuild("inspect", "app").stdout


def test_what_a_step_does_to_a_bundle_is_as_it_would_be_without(
    rbuild: Rbuild, base: str, tier: str, tmp_path: Path, authority: Authority
) -> None:
    """Package managers rename a new bundle over the old one; others append, or change its mode."""
    context = tmp_path / "c"
    places = " ".join(f"/{path}" for path in BUNDLES)
    text = "FROM busybox\n" + "".join(f"COPY bundle /{path}\n" for path in BUNDLES[:1])
    text += (
        f"RUN for f in {places}; do mkdir -p ${{f%/*}}; cp /{BUNDLES[0]} $f; chmod 640 $f; done; chmod 700 /etc/ssl\n"
    )
    text += f"RUN set -e {places}; {'; '.join(REWRITES)}\n"
    write_context(context, text, {"bundle": OWN})

    trusting = build(rbuild, f"--isolation={tier}", f"--build-ca={authority.certificate}", "-t", "app", context)
    assert not traces(rbuild.store, authority)
    plain = build(rbuild, f"--isolation={tier}", "--no-cache", "-t", "plain", context)
    assert trusting.digest == plain.digest


def test_what_cannot_be_taken_back_ends_the_step(
    rbuild: Rbuild, base: str, tmp_path: Path, authority: Authority
) -> None:
    text = "FROM busybox\nCOPY bundle /etc/ssl/cert.pem\nRUN tar -cf /x.tar /etc/ssl\n"
    context = write_context(tmp_path / "c", text, {"bundle": OWN})
    run = rbuild("build", f"--build-ca={authority.certificate}", context, status=1)

    assert "Dockerfile:3: --build-ca: the step has written to /x.tar a copy of the bundle" in run.stderr
    assert build(rbuild, context)["BuildFinished"][0]["executed"] == 1  # nothing of the refused step was kept


def test_command_line_names_the_file(rbuild: Rbuild, tmp_path: Path) -> None:
    context = write_context(tmp_path / "c", "FROM not-there\n")
    run = rbuild("build", "--build-ca=nowhere.pem", context, status=2)
    assert "--build-ca nowhere.pem: No such file or directory" in run.stderr


UPDATE = "/usr/sbin/update-ca-certificates"


def test_real_programs_trust_a_server_of_the_company(
    rbuild: Rbuild, base: str, tmp_path: Path, authority: Authority
) -> None:
    """openssl by the variable, and by the bundle of the image before and after Debian's own script has made it anew."""
    program = need_tool("openssl")
    if not os.access(UPDATE, os.X_OK):
        pytest.skip(f"{UPDATE} is not there (package ca-certificates)")
    anchors = "usr/local/share/ca-certificates"
    other = Authority(tmp_path, "another authority").certificate
    leaf = authority.issue("a server of the company").certificate
    files = {"tree/leaf.pem": leaf.read_text(), f"tree/{anchors}/other.crt": other.read_text()}
    by_bundle = f"unset SSL_CERT_FILE; openssl verify -CAfile /{BUNDLES[0]} /leaf.pem"
    text = f"FROM busybox\nENV PATH=/bin:/usr/bin\nCOPY tree /\nRUN mkdir -p /tmp /etc/ssl/certs; {UPDATE}\n"
    text += (
        f"RUN openssl verify /leaf.pem && {by_bundle}\nRUN {UPDATE} -f; ! grep rbuild /{BUNDLES[0]}\nRUN {by_bundle}\n"
    )
    context = write_context(tmp_path / "c", text, files)
    for path in [UPDATE, *_program_files(program)]:
        (context / f"tree{path}").parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, context / f"tree{path}")
    (context / "tree/etc").mkdir(exist_ok=True)
    (context / "tree/etc/ca-certificates.conf").touch()

    trusting = build(rbuild, f"--build-ca={authority.certificate}", context)
    assert lines(trusting).count("/leaf.pem: OK") == 3
    assert not traces(rbuild.store, authority)
    assert "/leaf.pem: OK" not in rbuild("build", "--no-cache", context, status=1).stderr


def _program_files(program: str) -> list[str]:
    """A program with the libraries that it is linked with."""
    said = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return [program, *re.findall(r"(/\S+)", said)]
