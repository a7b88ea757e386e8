"""Manifests, indexes and configs: strict to read, nothing lost, the same bytes for the same value."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import BuildError, DocumentError
from builder.oci import mediatypes
from builder.oci.assemble import Layer, assemble
from builder.oci.documents import (
    Descriptor,
    Healthcheck,
    History,
    ImageConfig,
    Index,
    Manifest,
    Platform,
    describe,
    parse_config,
    parse_index,
    parse_manifest,
)
from builder.oci.json import decode, encode
from tests.support.schemas import faults

DIGEST = "sha256:" + "ab" * 32
CONFIG = Descriptor(mediatypes.CONFIG, DIGEST, 7)
LAYER = Descriptor(mediatypes.LAYER_GZIP, DIGEST, 0, annotations=(("a", "b"),), urls=("https://x/y",))
EVERYTHING = ImageConfig(
    architecture="arm",
    variant="v7",
    os_version="1",
    os_features=("x",),
    created="2024-01-02T03:04:05Z",
    author="me",
    user="1:2",
    exposed_ports=("53/udp", "80/tcp"),
    env=(("A", "b=c"), ("EMPTY", "")),
    entrypoint=("/e",),
    cmd=(),
    healthcheck=Healthcheck(("CMD-SHELL", "true"), 1, 2, 3, 4, 5),
    args_escaped=True,
    volumes=("/v",),
    working_dir="/w",
    on_build=("RUN true",),
    labels=(("l", "ü"),),
    stop_signal="SIGINT",
    shell=("/bin/ash", "-c"),
    diff_ids=(DIGEST,),
    history=(History("2024-01-02T03:04:05Z", "RUN x", "me", "hm"), History(empty_layer=True)),
)


def manifest_text(**changes: object) -> bytes:
    document = json.loads(Manifest(CONFIG, (LAYER,)).encode()) | changes
    return json.dumps({key: value for key, value in document.items() if value != "absent"}).encode()


def index_text(**changes: object) -> bytes:
    entry = Descriptor(mediatypes.MANIFEST, DIGEST, 3, platform=Platform("linux", "amd64"))
    return json.dumps(json.loads(Index((entry,)).encode()) | changes).encode()


def test_what_we_write_we_read_back_and_the_schemas_accept() -> None:
    manifest = Manifest(CONFIG, (LAYER,), annotations=(("k", "v"),), subject=CONFIG)
    index = Index((CONFIG._replace(platform=Platform("linux", "arm", "v7", "1", ("f",))),), annotations=(("k", "v"),))

    assert parse_manifest(manifest.encode())._replace(raw=b"") == manifest
    assert parse_index(index.encode())._replace(raw=b"") == index
    assert parse_config(EVERYTHING.encode())._replace(raw=b"") == EVERYTHING
    assert faults("manifest", manifest.encode()) == []
    assert faults("index", index.encode()) == []
    assert faults("config", EVERYTHING.encode()) == []
    assert faults("config", ImageConfig().encode()) == []
    assert faults("descriptor", encode(LAYER.as_json())) == []


def test_the_schemas_are_really_consulted() -> None:
    assert faults("manifest", b'{"schemaVersion": 1}')
    assert faults("config", b'{"os": 3}')
    assert faults("descriptor", b'{"mediaType": "x", "size": 1, "digest": "y"}')


def test_unknown_fields_survive_at_every_level() -> None:
    raw = manifest_text(new={"b": 1, "a": [None, 1.5]})
    config = {
        "os": "linux",
        "architecture": "amd64",
        "docker_version": "1",
        "container_config": None,
        "rootfs": {"type": "layers", "diff_ids": []},
        "config": {"Hostname": "h", "Healthcheck": {"Test": ["NONE"], "New": 1}},
        "history": [{"created_by": "x", "new": 1}],
    }

    assert json.loads(parse_manifest(raw).encode()) == json.loads(raw)
    assert json.loads(parse_config(json.dumps(config).encode()).encode()) == config


def test_encoding_does_not_depend_on_the_order_of_what_was_read() -> None:
    first = b'{"os":"linux","architecture":"a","config":{"Labels":{"b":"1","a":"2"},"Z":1,"Y":2},"y":1,"x":2,'
    second = b'{"x":2,"y":1,"architecture":"a","os":"linux","config":{"Y":2,"Z":1,"Labels":{"a":"2","b":"1"}},'
    rest = b'"rootfs":{"type":"layers","diff_ids":[]}}'

    assert parse_config(first + rest).encode() == parse_config(second + rest).encode()


def test_absent_and_empty_commands_differ() -> None:
    config = parse_config(ImageConfig(entrypoint=(), cmd=None).encode())

    assert (config.entrypoint, config.cmd) == ((), None)


def test_raw_text_is_kept_beside_the_value() -> None:
    raw = manifest_text()
    assert parse_manifest(raw).raw == raw


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (manifest_text(manifests=[]), "two things"),
        (manifest_text(Manifests=[]), "two things"),
        (manifest_text(manifests=None), "two things"),
        (manifest_text(fsLayers=[]), "two things"),
        (manifest_text(mediaType=mediatypes.INDEX), "another kind"),
        (manifest_text(mediaType=3), "not a string"),
        (manifest_text(schemaVersion=1), "schemaVersion"),
        (manifest_text(schemaVersion="absent"), "schemaVersion"),
        (manifest_text(config=None), "config is missing"),
        (manifest_text(Config={}), "only by case"),
        (manifest_text(layers="absent"), "layers is missing"),
        (manifest_text(layers={}), "not a list"),
        (manifest_text(layers=[{}] * 10_001), "layers has 10001 entries, more than 10000"),
        (manifest_text(annotations={"a": "\ud800"}), "half of a pair"),
        (manifest_text(annotations={"\udfff": "a"}), "half of a pair"),
        (manifest_text(layers=[7]), r"layers\[0\] is not a JSON object"),
        (manifest_text(annotations={"a": 1}), "annotations"),
        (manifest_text().replace(b'"size": 0', b'"size": -1'), "non-negative"),
        (manifest_text().replace(b'"size": 0', b'"size": 1.5'), "non-negative"),
        (manifest_text().replace(b'"size": 0', b'"size": true'), "non-negative"),
        (manifest_text().replace(b'"size": 0', b'"size": 9223372036854775808'), "non-negative"),
        (manifest_text().replace(b'"size": 0', b'"size": "0"'), "non-negative"),
        (manifest_text().replace(b'"size": 0, ', b""), "size is missing"),
        (manifest_text().replace(b"sha256:ab", b"sha256:.."), "not a digest"),
        (manifest_text().replace(b"layer.v1.tar+gzip", b"layer tar"), "media type"),
        (b'{"schemaVersion":2,"schemaVersion":2}', "given twice"),
        (manifest_text()[:-1] + b',"layers":[]}', "given twice"),
        (b'{"schemaVersion":NaN}', "NaN"),
        (b"[]", "not a JSON object"),
        (b"", "not valid JSON"),
        (b'{"a":"\xff"}', "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"schemaVersion":' + b"9" * 10_000 + b"}", "not valid JSON|schemaVersion"),
    ],
)
def test_a_manifest_that_is_wrong_or_ambiguous_is_refused(raw: bytes, why: str) -> None:
    with pytest.raises(DocumentError, match=why):
        parse_manifest(raw)


@pytest.mark.parametrize(
    "raw",
    [
        index_text(config={}),
        index_text(layers=[]),
        index_text(LAYERS=[]),
        index_text(mediaType=mediatypes.MANIFEST),
        index_text(manifests=None),
        b'{"schemaVersion":2}',
    ],
)
def test_an_index_that_is_wrong_or_ambiguous_is_refused(raw: bytes) -> None:
    with pytest.raises(DocumentError):
        parse_index(raw)


def test_a_document_must_be_of_the_kind_that_it_was_announced_as() -> None:
    assert parse_manifest(manifest_text(mediaType="absent"), mediatypes.MANIFEST).media_type == mediatypes.MANIFEST
    for announced in (mediatypes.INDEX, mediatypes.DOCKER_MANIFEST, "text/plain"):
        with pytest.raises(DocumentError):
            parse_manifest(manifest_text(), announced)


def test_whole_pairs_are_text() -> None:
    annotations = (("a", "\U0001f40b"),)
    assert parse_manifest(manifest_text(annotations=dict(annotations))).annotations == annotations


def test_dockers_schema_2_is_read() -> None:
    config = {"mediaType": mediatypes.DOCKER_CONFIG, "digest": DIGEST, "size": 1}
    manifest = parse_manifest(manifest_text(mediaType=mediatypes.DOCKER_MANIFEST, config=config))

    assert manifest.media_type == mediatypes.DOCKER_MANIFEST
    assert manifest.config.media_type == mediatypes.DOCKER_CONFIG


@pytest.mark.parametrize(
    "text",
    [
        b"{}",
        b'{"os":"linux","architecture":"a"}',
        b'{"os":"","architecture":"a","rootfs":{"type":"layers"}}',
        b'{"os":"linux","architecture":"a","rootfs":{"type":"base","diff_ids":[]}}',
        b'{"os":"linux","architecture":"a","rootfs":{"type":"layers","diff_ids":["x"]}}',
        b'{"os":"linux","architecture":"a","rootfs":{"type":"layers","diff_ids":[]},"config":[]}',
        b'{"os":"linux","architecture":"a","rootfs":{"type":"layers","diff_ids":[]},"config":{"Env":[1]}}',
        b'{"os":"linux","architecture":"a","rootfs":{"type":"layers","diff_ids":[]},"config":{"env":["A=B"]}}',
    ],
)
def test_a_wrong_config_is_refused(text: bytes) -> None:
    with pytest.raises(DocumentError):
        parse_config(text)


def test_text_that_is_no_unicode_cannot_enter_a_document() -> None:
    with pytest.raises(DocumentError):
        ImageConfig(env=(("A", "\udcff"),)).encode()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = [
    "schemaVersion",
    "mediaType",
    "config",
    "layers",
    "manifests",
    "os",
    "architecture",
    "rootfs",
    "history",
]


@given(st.dictionaries(st.sampled_from(KEYS), JSON))
def test_whatever_json_comes_only_document_errors_leave(document: dict[str, object]) -> None:
    raw = json.dumps(document).encode()
    for parse in (parse_manifest, parse_index, parse_config):
        try:
            parse(raw)
        except DocumentError:
            pass


@given(st.binary(max_size=64))
def test_whatever_bytes_come_only_document_errors_leave(raw: bytes) -> None:
    try:
        assert encode(decode(raw, "text")) is not None
    except BuildError:
        pass


def layer(number: int) -> Layer:
    return Layer(describe(mediatypes.DOCKER_LAYER_GZIP, b"%d" % number), "sha256:" + f"{number:02x}" * 32)


def test_assembling_gives_documents_that_describe_each_other() -> None:
    image = assemble(ImageConfig(cmd=("x",)), [layer(1), layer(2)], annotations=(("k", "v"),))
    manifest = parse_manifest(image.manifest_bytes, image.manifest.media_type)
    config = parse_config(image.config_bytes)

    assert manifest.config == describe(mediatypes.CONFIG, image.config_bytes)
    assert image.manifest == describe(mediatypes.MANIFEST, image.manifest_bytes)
    assert [entry.media_type for entry in manifest.layers] == [mediatypes.LAYER_GZIP] * 2
    assert config.diff_ids == (layer(1).diff_id, layer(2).diff_id)
    assert faults("manifest", image.manifest_bytes) == []
    assert faults("config", image.config_bytes) == []
    assert image.size == len(image.manifest_bytes) + len(image.config_bytes) + 2


def test_history_must_tell_of_the_layers_that_there_are() -> None:
    history = (History(created_by="a"), History(created_by="b", empty_layer=True))

    assemble(ImageConfig(history=history), [layer(1)])
    with pytest.raises(DocumentError, match="1 layers, the image has 2"):
        assemble(ImageConfig(history=history), [layer(1), layer(2)])


def test_a_history_that_tells_of_fewer_layers_is_filled_up() -> None:
    """Optional in the image specification; what is built upon such an image has one."""
    config = ImageConfig(diff_ids=("sha256:a", "sha256:b"), history=(History("1", "x"), History("2", empty_layer=True)))

    assert config.whole_history == (*config.history, History())
    assert config._replace(history=()).whole_history == (History(), History())
    assert config._replace(diff_ids=()).whole_history == config.history
