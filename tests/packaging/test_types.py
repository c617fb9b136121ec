"""The types that mypy and pyright find in the installed wheels, in a user's program."""

import json
import shutil
import subprocess
import sys

import pytest

from tests.packaging.conftest import environment, wheel
from tests.workspace import DISTRIBUTIONS

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]

RIGHT = """
import asyncio

from typing_extensions import assert_type

from virtufin.api.client import ApiClient, PubsubEvent
from virtufin.api.client.results import StateResult
from virtufin.api.dapr import DaprApp, DaprPublisher
from virtufin.api.emulator import Emulator
from virtufin.api.protos.state_pb2 import StateItem

app = DaprApp()


@app.subscribe("prices")
async def on_price(event: PubsubEvent) -> None:
    assert_type(event.topic, str)


async def main() -> None:
    async with Emulator() as gateway, DaprPublisher() as publisher:
        assert_type(gateway.port, int)
        async with ApiClient(host=gateway.host, grpc_port=gateway.port) as client:
            assert_type(await client.list_services_async(), list[str])
            assert_type(await client.get_state_async("service", "key"), StateResult)
            async with await client.pubsub.subscribe_async("topic") as subscription:
                async for event in subscription:
                    assert_type(event, PubsubEvent)
        await publisher.publish_async("topic", {"key": 1}, timeout=1.5)
    assert_type(StateItem(key="key").key, str)


asyncio.run(main())
"""
WRONG = {
    "grpc_port": "from virtufin.api.client import ApiClient\nApiClient(grpc_port=[])\n",
    "adress": "from virtufin.api.dapr import DaprPublisher\nDaprPublisher(adress='a:1')\n",
    "kee": "from virtufin.api.protos.state_pb2 import StateItem\nStateItem(kee='key')\n",
    "prot": "from virtufin.api.emulator import Emulator\nEmulator().prot\n",
}
"""Programs, each with a mistake at this name."""


def program(name):
    """A type checker beside this Python."""
    path = shutil.which(name, path=str(sys.prefix) + "/bin")
    assert path, f"{name} is missing: these tests are run by `scripts/nox -s packaging`"
    return path


def mypy(python, file):
    """The lines of the file's errors, by mypy."""
    command = [program("mypy"), "--strict", "--no-incremental", "--python-executable", python]
    said = subprocess.run(
        [*command, "--config-file=", file.name], cwd=file.parent, capture_output=True, text=True
    )
    assert "INTERNAL" not in said.stderr
    return [line for line in said.stdout.splitlines() if ": error:" in line]


def pyright(python, file):
    """The errors of the file, by pyright."""
    config = {"typeCheckingMode": "strict", "reportMissingTypeStubs": False}
    (file.parent / "pyrightconfig.json").write_text(json.dumps(config))
    command = [program("pyright"), "--outputjson", "--pythonpath", python, file.name]
    said = subprocess.run(command, cwd=file.parent, capture_output=True, text=True)
    found = json.loads(said.stdout)
    assert found["summary"]["filesAnalyzed"] == 1
    return [d["message"] for d in found["generalDiagnostics"] if d["severity"] == "error"]


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    folder = tmp_path_factory.mktemp("typed") / "venv"
    return environment(folder, *(str(wheel(built, name)) for name in DISTRIBUTIONS))


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_a_right_program_passes(checker, installed, tmp_path):
    file = tmp_path / "program.py"
    file.write_text(RIGHT)
    assert checker(installed, file) == []


@pytest.mark.parametrize("checker", [mypy, pyright])
@pytest.mark.parametrize("mistake", WRONG)
def test_a_mistake_is_seen(checker, mistake, installed, tmp_path):
    file = tmp_path / "program.py"
    file.write_text(WRONG[mistake])
    assert any(mistake in error for error in checker(installed, file))
