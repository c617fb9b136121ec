"""The shell scripts: each works on its own clone, from wherever and however it is called."""

import os
import shutil
import subprocess

import pytest

from tests.release.conftest import fake
from tests.workspace import ROOT

SCRIPTS = [
    path.relative_to(ROOT)
    for folder in ("scripts", ".ci")
    for path in sorted((ROOT / folder).iterdir())
    if path.is_file() and "\ncd " in path.read_text()
]
INNER = ["scripts/nox", "scripts/test", "scripts/_python", "scripts/real_parts", "scripts/demo"]
SAYS = '#!/bin/sh\necho "at $(pwd)" "$(basename "$0")" "$@"\n'
LOCAL = "http://127.0.0.1:3000/api/packages/o/pypi"


@pytest.fixture
def tree(tmp_path):
    """A clone in which what the scripts call only says where it is called."""
    root = tmp_path / "clone"
    for name in [*INNER, ".ci/run"]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        fake(root / name.rpartition("/")[0], name.rpartition("/")[2], SAYS)
    return root


def call(root, script, path, cwd, **env):
    shutil.copy(ROOT / script, root / script)
    env = {**os.environ, **env}
    return subprocess.run(
        [str(path)], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )


def test_the_scripts_are_found():
    assert {"scripts/release", "scripts/nox", ".ci/run"} <= set(map(str, SCRIPTS))


@pytest.mark.parametrize("script", SCRIPTS, ids=str)
class TestEach:
    def test_is_not_led_elsewhere_by_cdpath(self, script, tree, tmp_path):
        other = tmp_path / "other"
        for name in ("scripts", ".ci"):
            (other / name).mkdir(parents=True)
        said = call(tree, script, script, tree, CDPATH=str(other)).stdout
        assert f"at {tree}" in said
        assert str(other) not in said

    def test_works_through_a_link(self, script, tree, tmp_path):
        link = tmp_path / "link"
        link.symlink_to(tree / script)
        assert f"at {tree}" in call(tree, script, link, tmp_path).stdout


@pytest.mark.parametrize("kind", ["", "all"])
def test_before_a_release_every_check_is_run(tree, kind):
    script = ".ci/before_release"
    result = call(tree, script, script, tree, VIRTUFIN_RELEASE_CHECKS=kind)
    assert result.stdout == f"at {tree} run\nat {tree} nox -s matrix\n"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://pypi.haenerconsulting.com/api/packages/virtufin/pypi",
        "http://127.0.0.1.example.invalid/pypi",
        "http://127.0.0.1:80@example.invalid/pypi",
        "https://example.invalid/http://127.0.0.1/",
    ],
)
def test_a_sample_of_the_checks_is_not_enough_elsewhere(tree, url):
    script, env = ".ci/before_release", {"VIRTUFIN_PACKAGES_URL": url}
    result = call(tree, script, script, tree, VIRTUFIN_RELEASE_CHECKS="sample", **env)
    assert result.returncode == 2
    assert "Remove the variable VIRTUFIN_RELEASE_CHECKS" in result.stderr
    assert result.stdout == ""


def test_a_sample_is_enough_for_the_rehearsal(tree):
    script, env = ".ci/before_release", {"VIRTUFIN_PACKAGES_URL": LOCAL}
    result = call(tree, script, script, tree, VIRTUFIN_RELEASE_CHECKS="sample", **env)
    assert result.returncode == 0
    assert "LEFT OUT" in result.stdout
    assert "nox -s matrix(protos-3.11-latest)" in result.stdout


def test_an_unknown_kind_of_checks_is_refused(tree):
    script = ".ci/before_release"
    assert call(tree, script, script, tree, VIRTUFIN_RELEASE_CHECKS="some").returncode == 2
