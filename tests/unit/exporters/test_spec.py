"""-o: the keys of docker buildx, each checked."""

from __future__ import annotations

import pytest

from builder.errors import UsageError
from builder.exporters.exporter import exporter_for, output_names
from builder.exporters.spec import Output, parse_output
from builder.oci.reference import parse_reference
from tests.support.images import NO_ROOTFS


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ("type=oci,dest=a.tar", Output("oci", "a.tar")),
        ("type=oci", Output("oci", "-")),
        ("type=oci,dest=-", Output("oci", "-")),
        ("dest=d,tar=False,type=oci", Output("oci", "d", (("tar", "false"),))),
        ("type=docker,dest=a b.tar,name=x:1", Output("docker", "a b.tar", (("name", "x:1"),))),
        ('type=oci,"name=x:1,y:2"', Output("oci", "-", (("name", "x:1,y:2"),))),
        ("type=oci,compression=uncompressed", Output("oci", "-", (("compression", "none"),))),
        ("type=oci,compression=zstd,tar=1", Output("oci", "-", (("compression", "zstd"), ("tar", "true")))),
        ("type=tar,dest=r.tar", Output("tar", "r.tar")),
        ("type=local,dest=out=1", Output("local", "out=1")),
        ("out", Output("local", "out")),
        ("./out/", Output("local", "./out/")),
        ("-", Output("tar", "-")),
    ],
)
def test_what_is_understood(text: str, output: Output) -> None:
    assert parse_output(text) == output


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "type= is missing"),
        ("dest=x", "type= is missing"),
        ("type=zip", "unknown type 'zip'"),
        ("type=oci,dst=x", "dst= is unknown"),
        ("type=local,dest=x,tar=false", "tar= is unknown"),
        ("type=docker,dest=x,tar=false", "tar= is unknown"),
        ("type=local", "dest= has to name it"),
        ("type=local,dest=-", "dest= has to name it"),
        ("type=oci,tar=false", "dest= has to name it"),
        ("type=oci,tar=maybe", "neither true nor false"),
        ("type=oci,compression=lz4", "lz4"),
        ("type=oci,x", "not key=value"),
        ("type=oci,=x", "not key=value"),
        ("type=oci,dest=a,dest=b", "given twice"),
    ],
)
def test_what_is_wrong_is_said(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        parse_output(text)


def test_images_go_by_their_names() -> None:
    """type=registry is type=image,push=true; there is no file to name."""
    image = parse_output("type=image,name=a.example/b,compression=zstd")
    registry = parse_output("type=registry,name=a.example/b")

    assert image.is_image and not image.pushes and image.pushing().pushes
    assert registry.pushes and registry.dest == ""
    assert image.compression == "zstd"
    assert not parse_output("type=oci").is_image
    assert parse_output("type=cacheonly") == Output("cacheonly", "")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("type=image,dest=x", "dest= is unknown"),
        ("type=image,name=a:b,push=true,push-by-digest=true", "has a tag"),
        ("type=image,name=A/B", "lower case"),
        ("type=image,oci-mediatypes=false", "always OCI"),
        ("type=registry,push=false", "contradicts"),
        ("type=image,push=maybe", "neither true nor false"),
        ("type=cacheonly,name=x", "name= is unknown"),
    ],
)
def test_what_an_image_cannot_be_is_said(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        parse_output(text)


def test_every_kind_has_an_exporter() -> None:
    names = [
        type(exporter_for(parse_output(text), [("", NO_ROOTFS)])).__name__
        for text in ("type=oci", "type=docker", "type=oci,tar=false,dest=x", "-", "x")
    ]
    assert names == ["ArchiveExporter", "ArchiveExporter", "LayoutExporter", "TarExporter", "LocalExporter"]


def test_the_names_of_an_output_replace_the_tags_of_the_build() -> None:
    tags = (parse_reference("t:1"),)
    assert output_names(parse_output("type=oci"), tags) == tags
    assert [str(name) for name in output_names(parse_output('type=oci,"name=a,b:2"'), tags)] == [
        "docker.io/library/a:latest",
        "docker.io/library/b:2",
    ]
