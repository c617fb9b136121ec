"""Exercises that each distribution must pass when it alone is installed."""

EXERCISES = {
    "virtufin-api-protos": """
import importlib.util
from virtufin.api.protos import pubsub_pb2, state_pb2
assert state_pb2.StateItem.FromString(state_pb2.StateItem(key="k").SerializeToString()).key == "k"
assert importlib.util.find_spec("grpc") is None, "the messages alone need no grpcio"
""",
    "virtufin-api-protos[grpc]": """
import grpc
from virtufin.api.protos import gateway_pb2_grpc
with grpc.insecure_channel("localhost:1") as channel:
    assert gateway_pb2_grpc.GatewayStub(channel).InvokeJson
""",
    "virtufin-api": """
import asyncio
from virtufin.api.client import ApiClient, VirtufinError

async def main():
    async with ApiClient(host="127.0.0.1", grpc_port=1) as client:
        try:
            await client.list_services_async(timeout=1)
        except VirtufinError as error:
            print(type(error).__name__)
        else:
            raise SystemExit("nothing is listening there")

asyncio.run(main())
try:
    from virtufin.api.client import DaprPublisher
except ImportError as error:
    assert "virtufin-api[dapr]" in str(error), error
else:
    raise SystemExit("the plugin is not installed")
""",
    "virtufin-api-dapr": """
import asyncio
import importlib.util
import grpc.aio
from dapr.proto import api_service_v1
from google.protobuf.empty_pb2 import Empty
from virtufin.api.client import DaprPublisher
from virtufin.api.dapr import DaprApp

assert importlib.util.find_spec("virtufin.api.emulator") is None, "it needs no emulator"

class Sidecar(api_service_v1.DaprServicer):
    published = []

    async def PublishEvent(self, request, context):
        self.published.append((request.pubsub_name, request.topic, request.data))
        return Empty()

async def main():
    server = grpc.aio.server()
    api_service_v1.add_DaprServicer_to_server(Sidecar(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with DaprPublisher(address=f"127.0.0.1:{port}") as publisher:
        await publisher.publish_async("topic", {"key": "value"})
    [(pubsub_name, topic, data)] = Sidecar.published
    assert (pubsub_name, topic) == ("pubsub", "topic")
    assert b'"data":{"key":"value"}' in data
    await server.stop(None)
    async with DaprApp(port=0) as app:
        assert app.running

asyncio.run(main())
""",
    "virtufin-api-dapr[grpc]": """
from dapr.ext.grpc import App
from virtufin.api.dapr import DaprApp

app = DaprApp()

@app.subscribe("prices")
async def on_price(event): ...

with app.attach(App()) as attachment:
    assert not attachment.closed
""",
    "virtufin-api-emulator[dapr]": """
import asyncio
from virtufin.api.client import ApiClient, DaprPublisher
from virtufin.api.emulator import Emulator

async def main():
    async with Emulator(dapr_port=0) as gateway:
        async with (
            ApiClient(host=gateway.host, grpc_port=gateway.port) as client,
            DaprPublisher(address=gateway.dapr_address) as publisher,
            await client.pubsub.subscribe_async("prices") as subscription,
        ):
            await publisher.publish_async("prices", 1)
            assert (await subscription.__anext__()).data_as_json() == 1

asyncio.run(main())
""",
    "virtufin-api-emulator": """
import asyncio
from virtufin.api.client import ApiClient
from virtufin.api.emulator import Emulator

async def main():
    async with Emulator() as gateway:
        async with ApiClient(host=gateway.host, grpc_port=gateway.port) as client:
            print(await client.list_services_async())
            await client.save_state_async("workmanager", "k", "v")
            assert (await client.get_state_async("workmanager", "k"))["value"] == "v"

asyncio.run(main())
try:
    Emulator(dapr_port=0)
except ImportError as error:
    assert "virtufin-api-emulator[dapr]" in str(error), error
else:
    raise SystemExit("the plugin is not installed")
""",
}
