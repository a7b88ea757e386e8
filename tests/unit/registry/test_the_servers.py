"""The servers that the other tests here speak to do what their fixtures say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.processes import alive, wait_until
from tests.support.registries import PASSWORD, USER, Registry, basic
from tests.support.tools import ROOT, need_tool


def test_an_image_that_was_pushed_is_there_for_skopeo(plain_registry: Registry) -> None:
    amd = plain_registry.push("servers/image", "amd", {"etc/a": b"a"}, platform="linux/amd64")
    arm = plain_registry.push("servers/image", "arm", platform="linux/arm64/v8", docker=True)
    plain_registry.push_index("servers/image", "both", {"linux/amd64": amd, "linux/arm64/v8": arm})

    assert plain_registry.has_blob("servers/image", amd.layers[0])
    skopeo = [need_tool("skopeo"), "inspect", "--tls-verify=false", "--format", "{{.Digest}}"]
    arms = [*skopeo, "--override-arch=arm64", "--override-variant=v8", f"docker://{arm.reference}"]
    done = subprocess.run(arms, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == arm.digest
    wait_until(lambda: "PUT /v2/servers/image/manifests/both" in plain_registry.requests())


def test_a_password_is_wanted(password_registry: Registry) -> None:
    assert password_registry.request("GET", "/v2/", headers={"Authorization": ""}).status == 401
    assert password_registry.request("GET", "/v2/", headers={"Authorization": basic(USER, "other")}).status == 401
    assert password_registry.request("GET", "/v2/", headers={"Authorization": basic(USER, PASSWORD)}).status == 200


def test_tls_is_spoken(tls_registry: Registry, mutual_tls_registry: Registry) -> None:
    assert tls_registry.request("GET", "/v2/").status == 200
    assert mutual_tls_registry.request("GET", "/v2/").status == 200


def test_a_token_is_wanted_and_is_good_for_its_scope(token_registry: Registry) -> None:
    asked = token_registry.request("GET", "/v2/servers/a/tags/list", headers={"Authorization": ""})
    tokens = token_registry.tokens

    assert asked.status == 401
    assert asked.headers["www-authenticate"].startswith(f'Bearer realm="{tokens.realm}"')
    token_registry.push("servers/a")
    other = {"Authorization": f"Bearer {tokens.token(USER, ['repository:servers/b:pull'])}"}
    assert token_registry.request("GET", "/v2/servers/a/tags/list", headers=other).status == 401


def test_a_mirror_pulls_through(mirror_registry: Registry, plain_registry: Registry) -> None:
    image = plain_registry.push("servers/mirrored")

    assert mirror_registry.request("GET", "/v2/servers/mirrored/manifests/latest").body == image.manifest
    assert mirror_registry.request("POST", "/v2/servers/mirrored/blobs/uploads/").status == 405


def test_no_server_outlives_who_started_it(tmp_path: Path) -> None:
    need_tool("docker-registry")
    program = f"""if True:
        import os, signal, sys
        from pathlib import Path
        from tests.support.registries import serving
        with serving(Path({str(tmp_path / "abandoned")!r})) as registry:
            print(registry.host, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)

    assert done.stdout.startswith("127.0.0.1:"), done.stderr
    wait_until(lambda: not alive(str(tmp_path / "abandoned")))
