"""Each distribution, built and installed alone into a bare environment, does its work."""

import os
import sys
import tarfile

import pytest

from tests.packaging.conftest import environment, execute, run
from tests.packaging.exercises import EXERCISES
from tests.workspace import DISTRIBUTIONS, ROOT

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]


def test_a_wheel_and_an_sdist_of_each(built):
    for name in DISTRIBUTIONS:
        stem = name.replace("-", "_") + "-*"
        assert len(list(built.glob(f"{stem}.whl"))) == 1
        assert len(list(built.glob(f"{stem}.tar.gz"))) == 1


def test_the_sdists_have_what_a_wheel_needs(built):
    for sdist in built.glob("*.tar.gz"):
        with tarfile.open(sdist) as archive:
            names = {name.partition("/")[2] for name in archive.getnames()}
        assert {"LICENSE", "README.md", "pyproject.toml", "PKG-INFO"} <= names


@pytest.mark.parametrize("requirement", EXERCISES)
def test_installed_alone(requirement, built, tmp_path):
    python = environment(tmp_path / "venv", "--find-links", str(built), requirement)
    execute(python, EXERCISES[requirement], tmp_path)


def test_the_emulator_command_is_installed(built, tmp_path):
    environment(tmp_path / "venv", "--find-links", str(built), "virtufin-api-emulator")
    assert "--port" in run(str(tmp_path / "venv/bin/virtufin-emulator"), "--help")


def test_the_source_tree_needs_only_grpcio_reflection_and_protobuf(tmp_path):
    tree = tmp_path / "src/python"
    run(sys.executable, str(ROOT / "scripts/create_client.py"), "--output", str(tree))
    python = environment(tmp_path / "venv", "grpcio", "grpcio-reflection", "protobuf")
    use = "import gateway_pb2_grpc; from virtufin.api.client import ApiClient; ApiClient()"
    run(python, "-W", "error", "-c", use, env={**os.environ, "PYTHONPATH": str(tree)})
