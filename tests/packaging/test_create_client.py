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


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    command = [sys.executable, str(SCRIPT), "--output", str(tmp_path / "file")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert "not a folder" in result.stderr
