"""The registry that variables name."""

import os

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
        ("https://example.invalid/pypi/simple/", "leave out its `/simple`"),
        ("https://example.invalid/pypi?x=1", "without credentials, query or fragment"),
        ("https://example.invalid/pypi#x", "without credentials, query or fragment"),
        ("https://example.invalid/py pi", "must be an http"),
        ("https://example.invalid/py\npi", "must be an http"),
        ("http://[::1/pypi", "is no address"),
        ("https://example.invalid:port/pypi", "is no address"),
        ("http://example.invalid/pypi", "use https"),
        ("http://127.0.0.1.example.invalid/pypi", "use https"),
        ("http://10.0.0.1/pypi", "use https"),
    ],
)
def test_an_address_that_cannot_be_is_refused(variables, url, sentence):
    variables(url=url)
    with pytest.raises(versions.ReleaseError, match=sentence):
        registry.from_environment()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3:80", "[::1]:3000", "localhost:3000"])
def test_this_machine_needs_no_tls(variables, host):
    variables(url=f"http://{host}/pypi")
    assert registry.from_environment().index == f"http://{host}/pypi/simple/"


def test_space_around_a_variable_is_dropped(variables):
    variables(url=" https://example.invalid/pypi/\n", user="u\n", token="t\n")
    found = registry.from_environment(to_publish=True)
    assert (found.url, found.user, found.token) == ("https://example.invalid/pypi", "u", "t")


def test_no_child_is_given_the_variables(variables):
    variables(url="https://example.invalid/pypi", user="u", token="t")
    registry.forget_environment()
    assert not [name for name in os.environ if name.startswith("VIRTUFIN_PACKAGES")]


@pytest.mark.parametrize("given", [{}, {"user": "u"}, {"token": "t"}])
def test_publishing_needs_both_variables(variables, given):
    variables(**given)
    with pytest.raises(versions.ReleaseError, match="write:package"):
        registry.from_environment(to_publish=True)
