"""The steps of a release: their order, their arguments, and the needs of publishing."""

import sys

import pytest

from tests.release.conftest import fake
from tests.workspace import script

versions = script("_versions")
release = script("_release")
STEPS = ["verify", "build", "check", "publish", "smoke"]


@pytest.fixture(autouse=True)
def login(monkeypatch):
    monkeypatch.setenv("VIRTUFIN_PACKAGES_URL", "https://example.invalid/pypi")
    monkeypatch.setenv("VIRTUFIN_PACKAGES_USER", "u")
    monkeypatch.setenv("VIRTUFIN_PACKAGES_TOKEN", "secret-token")


def start(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["release", *arguments])
    return release.main()


@pytest.fixture
def steps(monkeypatch):
    """Records the steps instead of taking them."""
    done = []
    for owner, name in (
        (release, "verify"),
        (release._distfiles, "build"),
        (release, "check"),
        (release, "publish"),
        (release, "smoke"),
    ):
        monkeypatch.setattr(owner, name, lambda *given, name=name: done.append((name, *given)))
    return done


def test_all_is_every_step_in_order(steps, monkeypatch):
    start(monkeypatch, "all", "v7.8.9")
    assert [step[0] for step in steps] == STEPS
    assert steps[0] == ("verify", "v7.8.9")
    assert steps[3][1] == "v7.8.9"
    assert {step[-1].token for step in steps[3:]} == {"secret-token"}


@pytest.mark.parametrize("step", STEPS)
def test_a_named_step_runs_alone(steps, monkeypatch, step):
    start(monkeypatch, step)
    assert [done[0] for done in steps] == [step]


@pytest.mark.parametrize("step", ["publish", "all"])
def test_nothing_is_begun_that_could_not_be_published(steps, monkeypatch, step):
    monkeypatch.delenv("VIRTUFIN_PACKAGES_TOKEN")
    with pytest.raises(versions.ReleaseError, match="publishing needs"):
        start(monkeypatch, step)
    assert steps == []


def test_the_tag_is_that_of_the_version_unless_given(steps, monkeypatch):
    start(monkeypatch, "verify")
    assert steps == [("verify", f"v{versions.current()}")]


def test_a_step_that_fails_is_the_last(steps, monkeypatch):
    def fails(*_):
        raise versions.ReleaseError("no")

    monkeypatch.setattr(release, "check", fails)
    with pytest.raises(versions.ReleaseError, match="no"):
        start(monkeypatch, "all")
    assert [step[0] for step in steps] == ["verify", "build"]


def test_publishing_alone_verifies_first(monkeypatch):
    monkeypatch.setattr(release._verify, "problems", lambda tag: [f"{tag} is not kept"])
    monkeypatch.setattr(release._upload, "publish", lambda *_: pytest.fail("uploaded"))
    with pytest.raises(versions.ReleaseError, match="- v1 is not kept"):
        start(monkeypatch, "publish", "v1")


def test_a_program_that_builds_is_not_given_the_token(monkeypatch, tmp_path):
    seen = tmp_path / "seen"
    monkeypatch.setenv("PATH", fake(tmp_path / "bin", "uv", f"#!/bin/sh\nenv >{seen}; exit 1\n"))
    monkeypatch.setattr(release._distfiles.build, "__defaults__", (tmp_path / "dist",))
    with pytest.raises(versions.ReleaseError, match="could not be built"):
        start(monkeypatch, "build")
    assert "PATH=" in seen.read_text()
    assert "secret-token" not in seen.read_text()
