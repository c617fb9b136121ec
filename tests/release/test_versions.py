"""One version, moved in one step; what says another is named."""

import datetime as dt

import pytest

from tests.workspace import script

versions = script("_versions")
DAY = dt.date(2030, 1, 2)


def replace(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_bump_moves_everything(clone):
    changed = versions.bump("7.8.9", clone, DAY)
    assert versions.current(clone) == "7.8.9"
    assert versions.problems(clone) == []
    assert versions.released("7.8.9", clone) is None
    assert "## [7.8.9] - 2030-01-02\n\n- Something new." in (clone / "CHANGELOG.md").read_text()
    assert len(changed) == 9


def test_a_repeated_bump_changes_nothing(clone):
    versions.bump("7.8.9", clone, DAY)
    assert versions.bump("7.8.9", clone) == []


@pytest.mark.parametrize(
    ("version", "sentence"),
    [
        ("0.1.9", "is lower than the present version"),
        ("seven", "is no version"),
        ("v1.2.3", "is written 1.2.3"),
        ("1.2.3-rc1", "is written 1.2.3rc1"),
    ],
)
def test_what_is_no_next_version_is_refused_before_anything_is_written(clone, version, sentence):
    before = (clone / "CHANGELOG.md").read_text()
    with pytest.raises(versions.ReleaseError, match=sentence):
        versions.bump(version, clone)
    assert (clone / "CHANGELOG.md").read_text() == before
    assert versions.problems(clone) == []


def test_a_release_without_news_is_refused(clone):
    replace(clone / "CHANGELOG.md", "\n- Something new.\n", "")
    with pytest.raises(versions.ReleaseError, match="say what is new"):
        versions.bump("7.8.9", clone)


def test_a_changelog_that_begins_with_another_release_is_refused(clone):
    replace(clone / "CHANGELOG.md", "## [Unreleased]", "## [0.1.0] - 2020-01-01")
    with pytest.raises(versions.ReleaseError, match=r"under `## \[Unreleased\]` first"):
        versions.bump("7.8.9", clone)


@pytest.mark.parametrize(
    ("file", "old", "new", "sentence"),
    [
        (
            "virtufin-api-dapr/pyproject.toml",
            '"virtufin-api=={0}"',
            '"virtufin-api==0.0.1"',
            "virtufin-api-dapr needs `virtufin-api==0.0.1`, it must be pinned to =={0}",
        ),
        (
            "virtufin-api/pyproject.toml",
            '"virtufin-api-emulator=={0}"',
            '"virtufin-api-emulator>={0}"',
            "virtufin-api needs `virtufin-api-emulator>={0}`, it must be pinned",
        ),
        (
            "virtufin-api-protos/pyproject.toml",
            'version = "{0}"',
            'version = "0.0.1"',
            "virtufin-api-protos has version 0.0.1, virtufin-api has {0}",
        ),
        (
            "virtufin-api-emulator/src/virtufin/api/emulator/__init__.py",
            '__version__ = "{0}"',
            '__version__ = "0.0.1"',
            "the code of virtufin-api-emulator has __version__ 0.0.1",
        ),
    ],
)
def test_a_place_that_says_another_version_is_named(clone, file, old, new, sentence):
    version = versions.current(clone)
    path = clone / "packages" / file
    replace(path, old.format(version), new.format(version))
    [problem] = versions.problems(clone)
    assert problem.startswith(sentence.format(version))
    assert problem.endswith(f"run `scripts/bump_version {version}`")
    versions.bump(version, clone, DAY)
    assert versions.problems(clone) == []
