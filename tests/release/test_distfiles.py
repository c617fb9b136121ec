"""Builds of the commit, made twice; files in dist/ that must not be published."""

import pytest

from tests.release.conftest import commit, fake, git
from tests.workspace import script

versions = script("_versions")
distfiles = script("_distfiles")
gits = script("_git")

FAKE_UV = """#!/bin/sh
# uv build --quiet packages/NAME --out-dir FOLDER
name=$(basename "$3")
stem=$(echo "$name" | tr - _)
version=$(sed -n 's/^version = "\\(.*\\)"/\\1/p' "$3/pyproject.toml")
mkdir -p "$5"
for file in "$5/$stem-$version.tar.gz" "$5/$stem-$version-py3-none-any.whl"; do
    (cd "$3" && find . -type f | sort | xargs sha256sum) >"$file"
    %s
done
"""


@pytest.fixture
def here(clone, monkeypatch):
    monkeypatch.setattr(versions, "ROOT", clone)
    for function in (versions.current, versions.differences):
        monkeypatch.setattr(function, "__defaults__", (clone,))
    return clone


@pytest.fixture
def uv(tmp_path, monkeypatch):
    def with_line(line=":"):
        monkeypatch.setenv("PATH", fake(tmp_path / "bin", "uv", FAKE_UV % line))
        fake(tmp_path / "bin", "twine", "#!/bin/sh\n")

    with_line()
    return with_line


@pytest.fixture
def dist(here, uv, tmp_path):
    folder = tmp_path / "dist"
    distfiles.build(folder)
    return folder


def test_built_files_may_be_published(dist):
    version = versions.current()
    names = [name for d in versions.DISTRIBUTIONS for name in distfiles.names(d, version)]
    assert [path.name for path in distfiles.check(dist)] == names


def test_files_of_another_commit_are_refused(dist, here):
    commit(here)
    with pytest.raises(versions.ReleaseError, match="built from another commit"):
        distfiles.check(dist)


def test_a_file_that_changed_since_it_was_built_is_refused(dist):
    with (dist / distfiles.names("virtufin-api", versions.current())[1]).open("a") as file:
        file.write("more")
    with pytest.raises(versions.ReleaseError, match="changed since"):
        distfiles.check(dist)


@pytest.mark.parametrize("number", [0, 1])
def test_a_missing_file_is_named(dist, number):
    name = [distfiles.BUILT, *distfiles.names("virtufin-api", versions.current())][number]
    (dist / name).unlink()
    with pytest.raises(versions.ReleaseError, match=name):
        distfiles.check(dist)


def test_a_file_too_many_is_named(dist):
    (dist / "virtufin_api-0.0.1.tar.gz").touch()
    with pytest.raises(versions.ReleaseError, match=r"virtufin_api-0\.0\.1\.tar\.gz"):
        distfiles.check(dist)


def test_an_empty_folder_says_to_build(tmp_path):
    with pytest.raises(versions.ReleaseError, match="scripts/release build"):
        distfiles.check(tmp_path)


@pytest.mark.parametrize(
    "line",
    ["date +%N >>$file", "mktemp >>$file", "pwd >>$file"],
    ids=["when", "by chance", "where"],
)
def test_two_builds_that_differ_are_refused(here, uv, tmp_path, line):
    uv(line.replace("$file", '"$file"'))
    with pytest.raises(versions.ReleaseError, match=r"two builds of .* differ"):
        distfiles.build(tmp_path / "dist")


def overlooked_by_settings(clone, path):
    git(clone, "config", "status.showUntrackedFiles", "no")
    path.write_text("stray")


def overlooked_by_exclusion(clone, path):
    (clone / ".git/info/exclude").write_text("*.py")
    path.write_text("stray")


def overlooked_by_mark(clone, path):
    path = path.with_name("_version.py")
    git(clone, "update-index", "--assume-unchanged", str(path))
    path.write_text(path.read_text() + "# stray")


@pytest.mark.parametrize(
    "hide", [overlooked_by_settings, overlooked_by_exclusion, overlooked_by_mark]
)
def test_only_the_commit_is_built(dist, here, tmp_path, hide):
    hide(here, here / "packages/virtufin-api/src/virtufin/api/client/stray.py")
    again = tmp_path / "again"
    distfiles.build(again)
    for path in dist.iterdir():
        assert (again / path.name).read_text() == path.read_text()


def test_files_that_are_left_out_are_named(here, uv, tmp_path, capsys):
    (here / "new.txt").touch()
    distfiles.build(tmp_path / "dist")
    assert "LEFT OUT, as it is not committed: new.txt" in capsys.readouterr().out


def test_a_version_that_is_not_committed_is_not_built(here, uv, tmp_path):
    for path in versions.places(here):
        path.write_text(versions.moved(path, path.read_text(), "7.8.9"))
    with pytest.raises(versions.ReleaseError, match="commit it"):
        distfiles.build(tmp_path / "dist")


def test_line_ends_are_those_of_the_commit(clone, tmp_path):
    git(clone, "config", "core.autocrlf", "true")
    gits.export(clone, tmp_path / "tree")
    assert b"\r" not in (tmp_path / "tree/CHANGELOG.md").read_bytes()
