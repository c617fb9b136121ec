"""The documented source tree: `python scripts/create_client.py --output src/python`."""

import os
import subprocess
import sys

import pytest

from tests.workspace import ROOT

SCRIPT = ROOT / "scripts/create_client.py"
USE = """
import gateway_pb2, gateway_pb2_grpc, pubsub_pb2, pubsub_pb2_grpc, state_pb2, state_pb2_grpc
from virtufin.api import client
from virtufin.api.client import ApiClient
from virtufin.api.protos import gateway_pb2 as packaged

assert gateway_pb2.InvokeRequest is packaged.InvokeRequest
assert gateway_pb2.DESCRIPTOR is packaged.DESCRIPTOR
assert gateway_pb2_grpc.GatewayStub and state_pb2.StateItem(key="k").key == "k"
ApiClient()
print(client.__file__)
"""


def create(output, *, python=sys.executable, **environment):
    result = subprocess.run(
        [python, str(SCRIPT), "--output", str(output)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def use(tree, python=sys.executable):
    env = {**os.environ, "PYTHONPATH": str(tree)}
    command = [python, "-c", USE]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(str(tree))


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    output = tmp_path_factory.mktemp("checkout") / "src/python"
    create(output)
    return output


def test_the_tree_works_by_pythonpath_alone(tree):
    use(tree)


def test_a_second_run_changes_nothing_and_leaves_the_files_of_others(tree):
    foreign = [tree / "mine.py", tree / "virtufin/mine.py"]
    for path in foreign:
        path.write_text("x = 1\n")
    stale = tree / "virtufin/api/client/_gone.py"
    stale.write_text("")
    listed = tree / ".virtufin-api-files"
    listed.write_text(listed.read_text() + "virtufin/api/client/_gone.py\n")
    before = {path: path.read_bytes() for path in tree.rglob("*.py") if path != stale}
    create(tree)
    assert {path: path.read_bytes() for path in tree.rglob("*.py")} == before


def test_the_generated_code_is_the_committed_code(tree):
    committed = ROOT / "packages/virtufin-api-protos/src/virtufin/api/protos"
    for path in committed.glob("*_pb2*.py*"):
        assert (tree / "virtufin/api/protos" / path.name).read_bytes() == path.read_bytes()


def test_without_a_generator_the_committed_code_is_copied_and_it_says_so(tmp_path):
    # Neither an installed generator nor an index to install one from.
    said = create(
        tmp_path / "tree",
        VIRTUFIN_CACHE=str(tmp_path / "cache"),
        PIP_NO_INDEX="1",
        PIP_FIND_LINKS=str(tmp_path),
    )
    assert "copied the committed protobuf code" in said
    use(tmp_path / "tree")


def refusal(output):
    """The line that the script ends with, the only one but for what the generator says."""
    result = subprocess.run(
        [sys.executable, str(SCRIPT), "--output", str(output)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode != 0
    assert "Traceback" not in result.stderr
    *others, line = result.stderr.splitlines()
    assert not [other for other in others if "generator" not in other]
    return line


@pytest.mark.parametrize("output", ["file", "file/x", "file/x/y"])
def test_a_file_in_the_way_is_refused(tmp_path, output):
    (tmp_path / "file").write_text("mine")
    assert refusal(tmp_path / output) == f"create_client: {tmp_path / 'file'} is not a folder"
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("name", ["virtufin", "virtufin/api/protos"])
def test_with_a_file_in_place_of_a_folder_nothing_is_written(tmp_path, name):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    assert refusal(tmp_path) == f"create_client: {tmp_path / name} is not a folder"
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["state_pb2.py", ".virtufin-api-files"])
def test_with_a_folder_in_place_of_a_file_nothing_is_written(tmp_path, name):
    (tmp_path / name).mkdir()
    assert f"{tmp_path / name} is a folder" in refusal(tmp_path)
    assert list(tmp_path.rglob("*")) == [tmp_path / name]


def test_an_error_of_the_system_is_one_line(tmp_path):
    assert "too long" in refusal(tmp_path / ("x" * 300)).lower()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    assert "cannot be written to" in refusal(tmp_path / "x")
