"""A sidecar and a publisher for it, servers of apps, and none of Dapr's variables."""

import importlib.util

import pytest

from tests.dapr.delivering import attached, own
from tests.dapr.sidecar import Sidecar
from virtufin.api.dapr import DaprPublisher

DAPR_VARIABLES = (
    "APP_API_TOKEN",
    "APP_PORT",
    "DAPR_API_TOKEN",
    "DAPR_GRPC_ENDPOINT",
    "DAPR_GRPC_PORT",
    "DAPR_RUNTIME_HOST",
    "VIRTUFIN_API_SOURCE",
)
HAS_EXTENSION = importlib.util.find_spec("cloudevents") is not None


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in DAPR_VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def sidecar(unused_port):
    async with Sidecar(unused_port) as running:
        yield running


@pytest.fixture
async def publisher(sidecar):
    async with DaprPublisher(address=sidecar.address) as open_publisher:
        yield open_publisher


needs_extension = pytest.mark.skipif(not HAS_EXTENSION, reason="dapr.ext.grpc is not installed")


@pytest.fixture(params=["own", pytest.param("ext", marks=needs_extension)])
def serving(request):
    """Runs an app on its own server, then on an App of dapr.ext.grpc."""
    return own if request.param == "own" else attached


@pytest.fixture(name="own")
def _own():
    return own
