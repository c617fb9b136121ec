"""The promises of a tag, and each way to break them."""

import os
import shutil

import pytest

from tests.release.conftest import commit, git
from tests.workspace import script

versions = script("_versions")
verify = script("_verify")
bump = script("_bump").bump


@pytest.fixture(autouse=True)
def generator(monkeypatch):
    """The comparison of the generated code is a check of its own; here it has an outcome."""
    found = []
    monkeypatch.setattr(verify, "_generated", lambda tree: found)
    return found


@pytest.fixture
def released(clone):
    bump("7.8.9", clone)
    commit(clone)
    git(clone, "tag", "v7.8.9")
    return clone


def test_a_tagged_clean_clone_may_be_released(released):
    assert verify.problems("v7.8.9", released) == []


def test_a_tag_of_another_version_is_refused(released):
    git(released, "tag", "v7.9.0")
    [problem] = verify.problems("v7.9.0", released)
    assert problem == "the tag is v7.9.0, the version 7.8.9: tag v7.8.9 or bump the version"


def test_a_missing_tag_is_named(released):
    git(released, "tag", "--delete", "v7.8.9")
    [problem] = verify.problems("v7.8.9", released)
    assert "there is no tag v7.8.9 here" in problem


def test_a_tag_on_another_commit_is_named(released):
    commit(released)
    [problem] = verify.problems("v7.8.9", released)
    assert "`git checkout v7.8.9`" in problem


def test_an_annotated_tag_counts_as_its_commit(released):
    git(released, "tag", "--force", "--annotate", "--message", "m", "v7.8.9")
    assert verify.problems("v7.8.9", released) == []


def test_changes_that_are_not_committed_are_named(released):
    (released / "new.txt").write_text("x")
    [problem] = verify.problems("v7.8.9", released)
    assert "not committed (new.txt)" in problem


@pytest.mark.parametrize("setting", ["no", "normal"])
def test_a_new_file_in_a_new_folder_is_seen_whatever_git_shows(released, setting):
    git(released, "config", "status.showUntrackedFiles", setting)
    path = released / "packages/virtufin-api/src/virtufin/api/client/more/new.py"
    path.parent.mkdir()
    path.touch()
    [problem] = verify.problems("v7.8.9", released)
    assert "more/new.py" in problem


def test_files_that_git_ignores_are_not_verified(released):
    path = released / "CHANGELOG.md"
    text = path.read_text()
    path.write_text(text.replace("## [7.8.9]", "## [Unreleased]"))
    commit(released)
    git(released, "tag", "--force", "v7.8.9")
    git(released, "update-index", "--assume-unchanged", "CHANGELOG.md")
    path.write_text(text)
    [problem] = verify.problems("v7.8.9", released)
    assert "the first heading of CHANGELOG.md is `## [Unreleased]" in problem


def test_a_change_in_another_encoding_is_named(released):
    (released / "CHANGELOG.md").write_bytes(b"Stra\xdfe")
    [problem] = verify.problems("v7.8.9", released)
    assert "not committed (CHANGELOG.md)" in problem


def test_a_name_in_another_encoding_is_named(released):
    (released / os.fsdecode(b"Stra\xdfe.txt")).touch()
    [problem] = verify.problems("v7.8.9", released)
    assert r"not committed (Stra\xdfe.txt)" in problem


def test_a_commit_without_a_changelog_is_named(released):
    (released / "CHANGELOG.md").unlink()
    commit(released)
    with pytest.raises(versions.ReleaseError, match=r"CHANGELOG\.md cannot be read"):
        verify.problems("v7.8.9", released)


def test_a_changelog_without_the_date_is_refused(clone):
    version = versions.current(clone)
    git(clone, "tag", f"v{version}")
    [problem] = verify.problems(f"v{version}", clone)
    assert f"run `scripts/bump_version {version}`" in problem


def test_generated_code_that_is_not_current_is_refused(released, generator):
    generator.append("the generated code is not current")
    assert verify.problems("v7.8.9", released) == ["the generated code is not current"]


def test_a_folder_that_is_no_clone_is_named(released):
    shutil.rmtree(released / ".git")
    with pytest.raises(versions.ReleaseError, match="not a git repository"):
        verify.problems("v7.8.9", released)
