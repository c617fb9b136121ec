"""Uploading: nothing against a registry that is not understood, and no success that is none."""

import socket
import time
import zipfile

import pytest

from tests.release.conftest import fake
from tests.release.registry_server import Server
from tests.workspace import script

versions = script("_versions")
registry = script("_registry")
index = script("_index")
upload = script("_upload")
distfiles = script("_distfiles")
VERSION = versions.current()
TOKEN = "secret/token"


@pytest.fixture
def server():
    with Server() as running:
        yield running


@pytest.fixture
def remote(server):
    return registry.Registry(server.url, "u", TOKEN)


@pytest.fixture
def wheels(tmp_path):
    """A wheel of each distribution, as small as an index accepts."""
    found = []
    for distribution in versions.DISTRIBUTIONS:
        path = tmp_path / distfiles.names(distribution, VERSION)[1]
        with zipfile.ZipFile(path, "w") as file:
            info = f"{distribution.replace('-', '_')}-{VERSION}.dist-info"
            text = f"Metadata-Version: 2.4\nName: {distribution}\nVersion: {VERSION}\n"
            file.writestr(f"{info}/METADATA", text)
            file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            file.writestr(f"{info}/RECORD", "")
        found.append(path)
    return found


def test_missing_files_are_uploaded_in_the_order_of_dependencies(server, remote, wheels):
    first = wheels[0]
    server.files[first.name] = first.read_bytes()
    upload.publish(remote, wheels)
    assert list(server.files) == [path.name for path in wheels]
    before = dict(server.files)
    upload.publish(remote, wheels)
    assert server.files == before


def test_nothing_is_uploaded_beside_other_bytes(server, remote, wheels):
    server.files[wheels[-1].name] = b"other"
    with pytest.raises(versions.ReleaseError, match="new content under a new version"):
        upload.publish(remote, wheels)
    assert list(server.files) == [wheels[-1].name]


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ((401, "who?"), "scope write:package"),
        ((403, "no"), "scope write:package"),
        ((500, "oh"), "answers 500"),
        ((302, ""), "answers 302"),
        ((200, "<html>Please log in</html>"), "no page of an index"),
        ((200, ""), "no page of an index"),
    ],
)
def test_an_index_that_does_not_show_files_stops_it(
    server, remote, wheels, answer, sentence, monkeypatch
):
    monkeypatch.setattr(upload, "_uv", lambda *_: pytest.fail("something is uploaded"))
    server.files[wheels[1].name] = wheels[1].read_bytes()
    server.answer = answer
    with pytest.raises(versions.ReleaseError, match=sentence):
        upload.publish(remote, wheels)


def test_files_that_do_not_appear_are_no_success(server, remote, wheels):
    server.keeps = False
    with pytest.raises(versions.ReleaseError, match="does not show what was uploaded"):
        upload.publish(remote, wheels)


@pytest.mark.parametrize("unanswered", ["GET", "POST"])
def test_a_registry_that_does_not_answer_is_not_waited_for(
    server, remote, wheels, unanswered, monkeypatch
):
    monkeypatch.setattr(index, "TIMEOUT", 0.5)
    for name in upload.TIMEOUTS:
        monkeypatch.setenv(name, "0" if "RETRIES" in name else "1")
    server.unanswered = (unanswered,)
    begin = time.monotonic()
    with pytest.raises(versions.ReleaseError):
        upload.publish(remote, wheels)
    assert time.monotonic() - begin < 20


def test_uv_has_limits_of_time_that_can_be_changed(remote, wheels, tmp_path, monkeypatch):
    seen = tmp_path / "seen"
    uv = f"#!/bin/sh\nenv >{seen}\n"
    monkeypatch.setenv("PATH", fake(tmp_path / "bin", "uv", uv))
    monkeypatch.setenv("UV_HTTP_TIMEOUT", "7")
    monkeypatch.delenv("UV_UPLOAD_HTTP_TIMEOUT", raising=False)
    with pytest.raises(versions.ReleaseError, match="does not show"):
        upload.publish(remote, wheels)
    lines = seen.read_text().splitlines()
    assert "UV_HTTP_TIMEOUT=7" in lines
    assert "UV_UPLOAD_HTTP_TIMEOUT=120" in lines


def test_a_registry_that_is_away_is_named(wheels):
    with socket.socket() as bound:  # and not listened on: it refuses
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/pypi"
        with pytest.raises(versions.ReleaseError, match="cannot be reached"):
            upload.publish(registry.Registry(url, "u", TOKEN), wheels)


def test_the_output_of_uv_comes_at_once_and_without_the_token(
    remote, wheels, server, tmp_path, monkeypatch
):
    seen = tmp_path / "seen"
    uv = f"""#!/bin/sh
echo "as it is: $UV_PUBLISH_PASSWORD; in an address: $UV_PUBLISH_CHECK_URL" >&2
for second in 1 2 3 4 5; do test -e {seen} && exit 3 || sleep 1; done
"""
    monkeypatch.setenv("PATH", fake(tmp_path / "bin", "uv", uv))
    shown = []

    def show(*what, **_):
        shown.append("".join(what))
        seen.touch()

    monkeypatch.setattr("builtins.print", show)
    with pytest.raises(versions.ReleaseError, match="uv could not publish"):
        upload.publish(remote, wheels)
    [said] = shown
    assert said.startswith("  as it is: ***; in an address: http://u:***@127.0.0.1")
    assert TOKEN not in said
    assert "secret%2Ftoken" not in said


def test_the_token_is_no_argument(remote, wheels, server, tmp_path, monkeypatch):
    arguments = tmp_path / "arguments"
    uv = f'#!/bin/sh\necho "$@" >>{arguments}\n'
    monkeypatch.setenv("PATH", fake(tmp_path / "bin", "uv", uv))
    with pytest.raises(versions.ReleaseError, match="does not show"):
        upload.publish(remote, wheels)
    assert "secret" not in arguments.read_text()
