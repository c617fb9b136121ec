"""The registry that variables name; uv's refusals in words. The rehearsal has the rest."""

import socket
import zipfile

import pytest

from tests.workspace import script

versions = script("_versions")
registry = script("_registry")


@pytest.fixture(autouse=True)
def variables(monkeypatch):
    for name in ("URL", "USER", "TOKEN"):
        monkeypatch.delenv(f"VIRTUFIN_PACKAGES_{name}", raising=False)
    return lambda **given: [
        monkeypatch.setenv(f"VIRTUFIN_PACKAGES_{name.upper()}", value)
        for name, value in given.items()
    ]


def test_the_documented_registry_is_the_default():
    found = registry.from_environment()
    assert found.index == f"{registry.DEFAULT_URL}/simple/"
    assert found.login == found.index


def test_an_empty_variable_is_none(variables):
    variables(url="")
    assert registry.from_environment().url == registry.DEFAULT_URL


def test_the_login_is_quoted_in_the_address_and_never_shown(variables):
    variables(url="http://127.0.0.1:3000/api/packages/o/pypi/", user="a b", token="t/@:")
    found = registry.from_environment(to_publish=True)
    assert found.login == "http://a%20b:t%2F%40%3A@127.0.0.1:3000/api/packages/o/pypi/simple/"
    assert "t/@:" not in repr(found)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("ftp://example.invalid/x", "must be an http"),
        ("example.invalid", "must be an http"),
        ("http://u:p@example.invalid/x", "without credentials"),
        ("http://example.invalid/pypi/simple/", "leave out its `/simple`"),
    ],
)
def test_an_address_that_cannot_be_is_refused(variables, url, sentence):
    variables(url=url)
    with pytest.raises(versions.ReleaseError, match=sentence):
        registry.from_environment()


@pytest.mark.parametrize("given", [{}, {"user": "u"}, {"token": "t"}])
def test_publishing_needs_both_variables(variables, given):
    variables(**given)
    with pytest.raises(versions.ReleaseError, match="write:package"):
        registry.from_environment(to_publish=True)


@pytest.fixture
def wheel(tmp_path):
    path = tmp_path / "virtufin_api-7.8.9-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as file:
        info = "virtufin_api-7.8.9.dist-info"
        text = "Metadata-Version: 2.4\nName: virtufin-api\nVersion: 7.8.9\n"
        file.writestr(f"{info}/METADATA", text)
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")
    return path


def test_a_registry_that_is_away_is_said_so(variables, wheel, monkeypatch, capsys):
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with socket.socket() as bound:  # and not listened on: it refuses
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/pypi"
        variables(url=url, user="u", token="secret-token")
        with pytest.raises(versions.ReleaseError, match="cannot be reached"):
            registry.publish(registry.from_environment(to_publish=True), [wheel])
    assert "secret-token" not in capsys.readouterr().out
