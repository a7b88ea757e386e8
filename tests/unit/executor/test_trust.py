"""--build-ca without a sandbox: what a step finds in the place of bundles, and what is taken out of what it writes."""

from __future__ import annotations

import base64
import io
import os
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from builder.errors import BuildError, UsageError
from builder.executor import trust, untrust
from builder.executor.authorities import Authorities, heads_in, read
from builder.executor.copy_op import Target
from builder.layers.tree import create_tree
from builder.snapshots.snapshot import Snapshot
from builder.snapshots.view import View

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.authority import Authority

BUNDLE = "etc/ssl/certs/ca-certificates.crt"
OWN = b"# the image's own\n"
# Where each distribution has its bundle, and the links that lead to it.
LAYOUTS = {
    "debian": (BUNDLE, {"usr/lib/ssl/cert.pem": "/etc/ssl/certs/ca-certificates.crt"}),
    "alpine": (BUNDLE, {"etc/ssl/cert.pem": "certs/ca-certificates.crt"}),
    "fedora": (
        "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
        {
            "etc/pki/tls/certs/ca-bundle.crt": "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
            "etc/pki/tls/cert.pem": "certs/ca-bundle.crt",
            "etc/ssl/certs": "../pki/tls/certs",
        },
    ),
    "suse": (
        "var/lib/ca-certificates/ca-bundle.pem",
        {"etc/ssl/ca-bundle.pem": "../../var/lib/ca-certificates/x/../ca-bundle.pem"},
    ),
    "arch": (
        "etc/ca-certificates/extracted/tls-ca-bundle.pem",
        {BUNDLE: "../../ca-certificates/extracted/tls-ca-bundle.pem", "etc/ssl/cert.pem": "certs/ca-certificates.crt"},
    ),
}


@pytest.fixture(scope="module")
def authorities(authority: Authority) -> Authorities:
    return read([str(authority.certificate)])


class Step:
    """A step over one layer: `below` holds its files, `upper` what it has written."""

    def __init__(self, room: Path) -> None:
        self.room = room
        self.below, self.upper = room / "below" / "diff", room / "upper" / "diff"
        create_tree(str(room / "below"))
        create_tree(str(room / "upper"))
        self.snapshot = Snapshot((str(room / "below"),))
        self.view = View(self.snapshot, "recorded")
        self.target = Target(self.view, str(room / "upper"), str(room), "recorded", print, print)

    def image(self, path: str, content: bytes = OWN) -> Path:
        return _write(self.below / path, content)

    def wrote(self, path: str, content: bytes) -> Path:
        return _write(self.upper / path, content)

    def link(self, path: str, to: str | Path) -> None:
        (self.below / path).parent.mkdir(parents=True, exist_ok=True)
        (self.below / path).symlink_to(to)

    def prepare(self, authorities: Authorities) -> trust.Trusted:
        return trust.prepare(authorities, str(self.room), self.target)

    def clean(self, authorities: Authorities, *mounted: str) -> None:
        with View(self.snapshot, "recorded") as fresh:  # a view keeps what it has seen, and tests add to the image
            untrust.clean(authorities, self.snapshot, mounted, self.target._replace(base=fresh))


def _write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def step(tmp_path: Path) -> Iterator[Step]:
    made = Step(tmp_path)
    with made.view:
        yield made


def laid(trusted: trust.Trusted) -> dict[str, bytes]:
    """The files of the layer that a step gets."""
    (top,) = trusted.lowers
    found = [os.path.join(at, name) for at, _, names in os.walk(top) for name in names]
    return {os.path.relpath(path, top): Path(path).read_bytes() for path in found}


@pytest.mark.parametrize("name", LAYOUTS)
def test_bundle_is_extended_where_its_links_lead(step: Step, authorities: Authorities, name: str) -> None:
    path, links = LAYOUTS[name]
    step.image(path)
    step.image("var/lib/ca-certificates/x/y")
    for link, to in links.items():
        step.link(link, to)
    trusted = step.prepare(authorities)

    assert laid(trusted) == {path: OWN + authorities.block()}
    assert trusted.attachments[0].content == OWN + authorities.block()
    assert dict(trusted.env) == dict.fromkeys(trust.VARIABLES, trust.FILE)


def test_layer_differs_from_the_image_in_the_bundle_alone(step: Step, authorities: Authorities) -> None:
    """Modes, owners and times are copied up from it, and a lone step must not see them change."""
    bundle = step.image(BUNDLE)
    os.setxattr(bundle, "user.rbuild.stat", b"100440 3 4 0:0 100640")
    bundle.chmod(0o640)
    bundle.parent.chmod(0o751)
    os.utime(bundle, ns=(5, 7_000_000_001))
    os.utime(bundle.parent, ns=(5, 9_000_000_001))
    (top,) = step.prepare(authorities).lowers

    with View(Snapshot((top.removesuffix("/diff"),)), "recorded") as after:
        for path in ("etc", "etc/ssl", "etc/ssl/certs", BUNDLE):
            ours, theirs = after.entry(path), step.view.entry(path)
            assert ours and theirs
            assert (ours.mode, ours.uid, ours.gid, ours.mtime_ns) == (
                theirs.mode,
                theirs.uid,
                theirs.gid,
                theirs.mtime_ns,
            )
        assert ours.mode & 0o777 == 0o440 and ours.uid == 3


def test_image_without_a_bundle_gets_none(
    step: Step, authorities: Authorities, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variables name what this machine trusts, and ours: else installing a bundle would stop a step half-way."""
    monkeypatch.setattr(trust, "BUNDLES", ("none", str(_write(tmp_path / "host.pem", b"of the host\n"))[1:]))
    trusted = step.prepare(authorities)
    assert not trusted.lowers
    assert trusted.attachments[0].content == b"of the host\n" + authorities.block()


def test_bundle_that_has_them_stays_as_it_is(step: Step, authority: Authority, authorities: Authorities) -> None:
    step.image(BUNDLE, authority.certificate.read_bytes())
    assert not step.prepare(authorities).lowers


def test_nothing_is_done_without_the_option(step: Step) -> None:
    step.image(BUNDLE)
    assert trust.prepare(None, str(step.room), step.target) == trust.Trusted()
    untrust.clean(None, step.snapshot, (), step.target)


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (os.mkfifo, "is no regular file"),
    "directory": (os.mkdir, "is no regular file"),
    "too large": (lambda path: (path.touch(), os.truncate(path, 1 << 40)), "is larger than 16 MiB"),
    "link to itself": (lambda path: path.symlink_to(path.name), "too many levels of symbolic links"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_is_no_bundle_is_refused_unread(step: Step, authorities: Authorities, kind: str) -> None:
    make, reason = HOSTILE[kind]
    (step.below / BUNDLE).parent.mkdir(parents=True)
    make(step.below / BUNDLE)
    with pytest.raises(BuildError, match=f"{BUNDLE}.*{reason}"):
        step.prepare(authorities)


@pytest.mark.parametrize("link", ["{0}", "../../../../../../../../../../..{0}", "/proc/self/root{0}"])
def test_link_of_an_image_leads_to_nothing_of_the_host(
    step: Step, authorities: Authorities, tmp_path: Path, link: str
) -> None:
    """K9"""
    canary = _write(tmp_path / "canary", b"canary of the host")
    step.link(BUNDLE, link.format(canary))
    step.link("etc/pki", link.format(tmp_path))
    trusted = step.prepare(authorities)
    assert not trusted.lowers
    assert b"canary" not in trusted.attachments[0].content


# What a step may do with OWN + our text, and what is to be in its layer then.
TAKEN_OUT = {
    "copied": (lambda own, ours: own + ours, lambda own: own),
    "appended to": (lambda own, ours: own + ours + b"more\n", lambda own: own + b"more\n"),
    "edited before": (lambda own, ours: b"new\n" + ours, lambda own: b"new\n"),
    "twice": (lambda own, ours: (own + ours) * 2, lambda own: own * 2),
    "written anew": (lambda own, ours: own, lambda own: own),
}


@pytest.mark.parametrize("what", TAKEN_OUT)
def test_our_text_is_cut_out_wherever_it_is(step: Step, authorities: Authorities, what: str) -> None:
    make, expected = TAKEN_OUT[what]
    for path in (BUNDLE, "a/b/copy"):
        file = step.wrote(path, make(OWN, authorities.block()))
        file.chmod(0o604)
        os.utime(file, ns=(1, 5_000_000_007))
    os.link(step.upper / BUNDLE, step.upper / "hard")
    step.clean(authorities)

    for path in (BUNDLE, "a/b/copy", "hard"):
        assert (step.upper / path).read_bytes() == expected(OWN)
        assert (step.upper / path).stat().st_mtime_ns == 5_000_000_007
        assert (step.upper / path).stat().st_mode & 0o777 == 0o604
    assert (step.upper / "hard").stat().st_nlink == 2


def in_tar(content: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        member = tarfile.TarInfo("x")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


REFUSED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "an archive": (in_tar, "in a form from which it cannot be taken out"),
    "the beginning": (lambda ours: ours[:200], "in a form"),
    "other lines": (lambda ours: ours.replace(b"\n", b"\r\n"), "in a form"),
    "the certificate": (lambda ours: ours.split(b"\n", 2)[2].rpartition(b"#")[0], "a certificate of it"),
    "a key store": (
        lambda ours: b"\xfe\xed" + base64.b64decode(b"".join(ours.split(b"-----")[2].split())),
        "a certificate of it",
    ),
    "far inside": (
        lambda ours: b"x" * (untrust.PIECE - 100) + ours.split(b"\n", 2)[2].rpartition(b"#")[0],
        "a certificate of it",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_taken_out_ends_the_step(step: Step, authorities: Authorities, what: str) -> None:
    make, reason = REFUSED[what]
    step.wrote("deep/er/file", make(authorities.block()))
    with pytest.raises(BuildError, match=f"--build-ca: the step has written to /deep/er/file .*{reason}") as caught:
        step.clean(authorities)
    assert caught.value.hint and "/usr/local/share/ca-certificates/NAME.crt" in caught.value.hint


def test_certificate_that_the_image_wants_itself_stays(
    step: Step, authority: Authority, authorities: Authorities
) -> None:
    """In a place for authorities of its own: of a layer, of this very step, or mounted there."""
    pem = authority.certificate.read_bytes()
    step.wrote(BUNDLE, OWN + pem)
    with pytest.raises(BuildError):
        step.clean(authorities)
    step.clean(authorities, "/usr/local/share/ca-certificates/ours.crt")
    anchor = step.wrote("etc/pki/ca-trust/source/anchors/ours.pem", pem)
    step.clean(authorities)
    anchor.unlink()
    step.image("etc/ssl/certs/ours.pem", pem)
    step.clean(authorities)
    assert (step.upper / BUNDLE).read_bytes() == OWN + pem


def test_links_and_pipes_of_a_step_are_not_opened(step: Step, authorities: Authorities, tmp_path: Path) -> None:
    outside = _write(tmp_path / "outside", authorities.block())
    (step.upper / "link").symlink_to(outside)
    (step.upper / "up").symlink_to(tmp_path)
    os.mkfifo(step.upper / "pipe")
    step.clean(authorities)
    assert outside.read_bytes() == authorities.block()


def test_holes_are_not_read(step: Step, authorities: Authorities) -> None:
    sparse = step.wrote("sparse", b"x")
    os.truncate(sparse, 1 << 40)
    step.clean(authorities)
    with open(sparse, "ab") as file:
        file.write(authorities.block())
    with pytest.raises(BuildError, match="/sparse .*in a form"):
        step.clean(authorities)


def test_other_certificates_are_nobodys_business(step: Step, authority: Authority, authorities: Authorities) -> None:
    leaf = authority.issue("a server of the company").certificate.read_bytes()
    step.wrote("leaf.pem", leaf)
    step.clean(authorities)
    assert heads_in(leaf) and not heads_in(b"-----BEGIN CERTIFICATE-----\nA\n")


FAULTS = {
    "missing": (None, "No such file or directory"),
    "empty": (b"", "holds no PEM certificate"),
    "der": (b"\x30\x82\x01\x00", "holds no PEM certificate"),
    "key": (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "holds a private key"),
    "damaged": (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "a certificate in it is damaged"),
    "letters": (b"-----BEGIN CERTIFICATE-----\n\xff\n-----END CERTIFICATE-----\n", "a certificate in it is damaged"),
    "cut short": (b"-----BEGIN CERTIFICATE-----\nAAAA\n", "a PEM block has no end"),
    "large": (b"#" * (5 << 20), "is larger than 4 MiB"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_file_that_cannot_be_right_is_refused_by_name(tmp_path: Path, authority: Authority, name: str) -> None:
    content, reason = FAULTS[name]
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=f"--build-ca {path}: {reason}"):
        read([str(authority.certificate), str(path)])


def test_file_of_authorities_is_a_file_and_counts_once(tmp_path: Path, authority: Authority) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="is no regular file"):
        read([str(tmp_path / "pipe")])
    assert len(read([str(authority.certificate), str(authority.certificate)]).certificates) == 1
