"""Whoever builds with hatch itself gets what a release publishes."""

import os
import shutil

import pytest

from tests.packaging.conftest import run
from tests.workspace import DISTRIBUTIONS, PACKAGES, ROOT, metadata

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def hatch(tmp_path_factory):
    """Runs hatch in a folder, with environments of its own: `hatch(folder, "build")`."""
    data = tmp_path_factory.mktemp("hatch")
    time = run("git", "log", "-1", "--format=%ct", cwd=ROOT).strip()
    # Variables of the checks that would lead hatch's own uv to another environment, or to a file
    # relative to the clone.
    steering = {"UV_BUILD_CONSTRAINT", "UV_PYTHON", "UV_PROJECT_ENVIRONMENT", "VIRTUAL_ENV"}
    env = {name: value for name, value in os.environ.items() if name not in steering}
    env |= {"HATCH_DATA_DIR": str(data), "SOURCE_DATE_EPOCH": time}
    return lambda folder, *arguments: run("hatch", "--no-color", *arguments, cwd=folder, env=env)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_hatch_build_writes_the_bytes_of_a_release(distribution, built, hatch, tmp_path):
    source = tmp_path / distribution
    shutil.copytree(PACKAGES / distribution, source, ignore=shutil.ignore_patterns("__pycache__"))
    hatch(source, "build")
    files = [path for path in (source / "dist").iterdir() if path.suffix in (".gz", ".whl")]
    assert len(files) == 2
    for file in files:
        assert file.read_bytes() == (built / file.name).read_bytes(), file.name


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_hatch_version_shows_the_version(distribution, hatch):
    assert hatch(PACKAGES / distribution, "version").strip() == metadata(distribution)["version"]
