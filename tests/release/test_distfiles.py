"""What may not be published although it lies in dist/; the rehearsal has what may."""

import pytest

from tests.workspace import script

versions = script("_versions")
verify = script("_verify")
distfiles = script("_distfiles")


@pytest.fixture
def dist(tmp_path):
    """Files of the right names, built from the present state of the clone."""
    for distribution in versions.DISTRIBUTIONS:
        for name in distfiles.names(distribution, versions.current()):
            (tmp_path / name).touch()
    (tmp_path / distfiles.BUILT).write_text(verify.state())
    return tmp_path


def test_files_of_another_commit_are_refused(dist):
    (dist / distfiles.BUILT).write_text("0" * 40 + " clean")
    with pytest.raises(versions.ReleaseError, match="built from another commit"):
        distfiles.check(dist)


def test_a_missing_file_is_named(dist):
    name = distfiles.names("virtufin-api", versions.current())[0]
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


def test_a_change_that_is_not_committed_is_another_state(clone):
    before = verify.state(clone)
    assert before.endswith(" clean")
    changelog = clone / "CHANGELOG.md"
    states = {before}
    for text in ("one", "two"):
        changelog.write_text(text)
        states.add(verify.state(clone))
    assert len(states) == 3
