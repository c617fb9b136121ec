"""The modules that `import virtufin.api.client` loads; every program pays for them at its start."""

import importlib
import subprocess
import sys

import pytest

CLIENT = "virtufin.api.client"
OURS = """
_asyncio _backoff _client _config _deadlines _environment _error_mapping _event_attributes _gateway
_json _lazy _protobuf _protobuf.names _pubsub _settings _state _subscriptions _transport
_transport.calls _transport.channel_options _transport.channels _transport.connection
_transport.credentials _transport.health _transport.in_band_status _transport.method
_transport.target _transport.transport _types _validation _version _wire _wire.discovery _wire.rpc
_wire.wire errors events results
"""
OTHERS = {"bisect", "dataclasses", "google", "json", "random"}
"""Packages that grpc.aio and the messages of the gateway do not load already."""
# In an interpreter of its own, because this one has loaded everything.
PROGRAM = f"""
import sys
import grpc.aio
from virtufin.api.protos import config_pb2, gateway_pb2, pubsub_pb2, state_pb2
before = set(sys.modules)
import {CLIENT}
print(*sorted(set(sys.modules) - before))
"""


@pytest.fixture(scope="module")
def loaded():
    command = [sys.executable, "-c", PROGRAM]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_the_import_loads_these_modules_of_the_client_and_no_others(loaded):
    found = {name for name in loaded if name.startswith(CLIENT)}
    assert found == {CLIENT, *(f"{CLIENT}.{name}" for name in OURS.split())}


def test_the_import_loads_these_other_packages_at_most(loaded):
    packages = {name.partition(".")[0] for name in loaded if not name.startswith(("_", CLIENT))}
    assert packages <= OTHERS


@pytest.mark.parametrize("package", ["", "._protobuf", "._subscriptions", "._wire"])
def test_names_that_are_imported_at_their_first_use_are_there(package):
    module = importlib.import_module(CLIENT + package)
    assert all(hasattr(module, name) for name in module.__all__)


def test_a_name_that_a_package_lacks_is_named_in_the_error():
    module = importlib.import_module(f"{CLIENT}._protobuf")
    with pytest.raises(AttributeError, match=r"'virtufin\.api\.client\._protobuf' has no .*'Nope'"):
        _ = module.Nope
