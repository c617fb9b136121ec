"""The version: moved in one step; files with another version are named."""

import datetime as dt

import pytest

from tests.release.conftest import commit
from tests.workspace import script

versions = script("_versions")
changelog = script("_changelog")
bump = script("_bump").bump
DAY = dt.date(2030, 1, 2)


def replace(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_bump_moves_everything(clone):
    changed = bump("7.8.9", clone, DAY)
    assert versions.current(clone) == "7.8.9"
    assert versions.problems(clone) == []
    assert changelog.released("7.8.9", clone) is None
    assert "## [7.8.9] - 2030-01-02\n\n- Something new." in (clone / "CHANGELOG.md").read_text()
    assert len(changed) == 9


def test_a_repeated_bump_changes_nothing(clone):
    bump("7.8.9", clone, DAY)
    assert bump("7.8.9", clone) == []


@pytest.mark.parametrize(
    ("version", "sentence"),
    [
        ("0.1.9", "is lower than the present version"),
        ("seven", "is no version"),
        ("v1.2.3", "is written 1.2.3"),
        ("1.2.3-rc1", "is written 1.2.3rc1"),
        ("01.2.3", "is written 1.2.3"),
        ("1.2", "is not of the form"),
        ("1.2.3.4", "is not of the form"),
        ("1.2.3+local", "is not of the form"),
        ("1.2.3.post1", "is not of the form"),
        ("1!0.1.0", "is not of the form"),
    ],
)
def test_a_version_that_is_not_the_next_is_refused_before_anything_is_written(
    clone, version, sentence
):
    before = (clone / "CHANGELOG.md").read_text()
    with pytest.raises(versions.ReleaseError, match=sentence):
        bump(version, clone)
    assert (clone / "CHANGELOG.md").read_text() == before
    assert versions.problems(clone) == []


@pytest.mark.parametrize("version", ["7.8.9", "7.8.9a1", "7.8.9b2", "7.8.9rc3", "7.8.9.dev4"])
def test_a_version_of_the_form_is_accepted(clone, version):
    bump(version, clone)
    assert versions.problems(clone) == []


def test_a_version_of_another_form_is_a_problem(clone):
    for path in versions.places(clone):
        path.write_text(versions.moved(path, path.read_text(), "7.8"))
    [problem] = versions.problems(clone)
    assert problem.startswith("'7.8' is not of the form")


def test_a_released_version_is_not_released_again(clone):
    bump("7.8.9", clone, DAY)
    replace(clone / "CHANGELOG.md", "## [7.8.9]", "## [Unreleased]\n\n- More.\n\n## [7.8.9]")
    commit(clone)
    with pytest.raises(versions.ReleaseError, match=r"has a date at 7\.8\.9 already"):
        bump("7.8.9", clone)
    assert (clone / "CHANGELOG.md").read_text().count("## [7.8.9]") == 1


def test_line_ends_stay_as_they_are(clone):
    for path in (clone / "CHANGELOG.md", *versions.places(clone)):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    commit(clone)
    bump("7.8.9", clone, DAY)
    text = (clone / "CHANGELOG.md").read_bytes()
    assert b"## [7.8.9] - 2030-01-02\r\n\r\n- Something new." in text
    for path in (clone / "CHANGELOG.md", *versions.places(clone)):
        assert b"\n" not in path.read_bytes().replace(b"\r\n", b""), path
    assert changelog.released("7.8.9", clone) is None
    assert versions.problems(clone) == []


@pytest.mark.parametrize(
    ("pin", "moved"),
    [
        ('"virtufin-api-protos[grpc]=={0}"', '"virtufin-api-protos[grpc]==7.8.9"'),
        ('"virtufin-api-protos == {0}"', '"virtufin-api-protos==7.8.9"'),
        ("'virtufin-api-protos [grpc] >= {0}'", "'virtufin-api-protos [grpc]==7.8.9'"),
        (
            "\"virtufin-api-protos=={0}; python_version < '4'\"",
            "\"virtufin-api-protos==7.8.9; python_version < '4'\"",
        ),
        (
            "'virtufin-api-protos=={0} ; python_version < \"4\"'",
            "'virtufin-api-protos==7.8.9 ; python_version < \"4\"'",
        ),
    ],
)
def test_a_pin_is_moved_however_it_is_written(clone, pin, moved):
    path, version = clone / "packages/virtufin-api/pyproject.toml", versions.current(clone)
    replace(path, f'"virtufin-api-protos=={version}"', pin.format(version))
    replace(path, f'version = "{version}"', f"version='{version}'")
    commit(clone)
    bump("7.8.9", clone)
    assert moved in path.read_text()
    assert "version='7.8.9'" in path.read_text()


def test_a_place_that_cannot_be_moved_is_named(clone):
    path, version = clone / "packages/virtufin-api/pyproject.toml", versions.current(clone)
    replace(path, f'"virtufin-api-protos=={version}"', '"virtufin-api-protos"')
    commit(clone)
    with pytest.raises(versions.ReleaseError, match=r"by hand.*\n.*needs `virtufin-api-protos`"):
        bump("7.8.9", clone)


def test_a_pin_under_another_spelling_of_the_name_is_seen(clone):
    path, version = clone / "packages/virtufin-api/pyproject.toml", versions.current(clone)
    replace(path, f'"virtufin-api-protos=={version}"', '"Virtufin_API.protos==0.0.1"')
    [problem] = versions.problems(clone)
    assert "needs `Virtufin_API.protos==0.0.1`" in problem


def test_a_module_without_its_version_is_no_success(clone):
    [path] = (clone / "packages/virtufin-api/src").rglob("_version.py")
    path.write_text("")
    commit(clone)
    with pytest.raises(versions.ReleaseError, match="has __version__ nowhere"):
        bump("7.8.9", clone)


def test_an_interrupted_write_leaves_a_whole_file(clone, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    before = {path: path.read_bytes() for path in versions.places(clone)}
    monkeypatch.setattr(script("_bump").shutil, "copymode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bump("7.8.9", clone)
    assert {path: path.read_bytes() for path in before} == before
    monkeypatch.undo()
    bump("7.8.9", clone)
    assert versions.problems(clone) == []


@pytest.mark.parametrize("name", ["new.txt", "packages/virtufin-api/README.md"])
def test_work_that_is_not_committed_stays_out_of_the_release(clone, name):
    path = clone / name
    path.write_text("Something else.")
    before = (clone / "CHANGELOG.md").read_text()
    with pytest.raises(versions.ReleaseError, match=f"{name}: changed and not committed"):
        bump("7.8.9", clone)
    assert (clone / "CHANGELOG.md").read_text() == before


def test_other_changes_of_a_file_with_a_version_are_seen(clone):
    path = clone / "packages/virtufin-api-dapr/pyproject.toml"
    path.write_text(path.read_text() + "\n# HandlerPool.\n")
    with pytest.raises(versions.ReleaseError, match="changed and not committed"):
        bump("7.8.9", clone)


def test_a_missing_changelog_is_named(clone):
    (clone / "CHANGELOG.md").unlink()
    with pytest.raises(versions.ReleaseError, match=r"CHANGELOG\.md cannot be read"):
        bump("7.8.9", clone)


def test_a_release_without_news_is_refused(clone):
    replace(clone / "CHANGELOG.md", "\n- Something new.\n", "")
    with pytest.raises(versions.ReleaseError, match="say what is new"):
        bump("7.8.9", clone)


def test_a_changelog_that_begins_with_another_release_is_refused(clone):
    replace(clone / "CHANGELOG.md", "## [Unreleased]", "## [0.1.0] - 2020-01-01")
    with pytest.raises(versions.ReleaseError, match=r"under `## \[Unreleased\]` first"):
        bump("7.8.9", clone)


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
    bump(version, clone, DAY)
    assert versions.problems(clone) == []
