"""The cost of the client over bare grpc.aio stubs: `scripts/nox -s benchmarks`."""

import asyncio
import statistics
import subprocess
import sys

from grpc import aio
from pairs import compare, emulator

from virtufin.api.client import ApiClient
from virtufin.api.protos import pubsub_pb2, pubsub_pb2_grpc, state_pb2, state_pb2_grpc

IN_FLIGHT = 64
EVENTS = 2000


async def unary(client, channel):
    """Reads of state, one after the other and many concurrently."""
    stub = state_pb2_grpc.StateStub(channel)

    async def base(count=200):
        for _ in range(count):
            request = state_pb2.GetStateRequest(service="workmanager", key="k")
            await stub.GetState(request, timeout=30)
        return count

    async def ours(count=200):
        for _ in range(count):
            await client.get_state_async("workmanager", "k")
        return count

    await compare("unary, one at a time", "call", base, ours)

    def together(run):
        async def all_of_them():
            return sum(await asyncio.gather(*(run(20) for _ in range(IN_FLIGHT))))

        return all_of_them

    await compare(f"unary, {IN_FLIGHT} in flight", "call", together(base), together(ours))


async def events(client, channel):
    """A burst of events that waits at the gateway is read through one stream."""
    stub = pubsub_pb2_grpc.PubsubStub(channel)

    async def publish(topic):
        event = {"price": 1.0, "size": 100}
        for _ in range(EVENTS // 100):
            await asyncio.gather(*(client.pubsub.publish_async(topic, event) for _ in range(100)))

    async def base():
        call = stub.Subscribe(pubsub_pb2.SubscribeRequest(topics=["base"]))
        await call.initial_metadata()
        await publish("base")
        received = 0
        async for item in call:
            assert item.cloudevent.text_data
            received += 1
            if received == EVENTS:
                break
        call.cancel()
        return EVENTS

    async def ours():
        async with client.pubsub.subscribe_async_iter("ours") as subscription:
            await publish("ours")
            for _ in range(EVENTS):
                assert (await anext(subscription)).data
        return EVENTS

    await compare("events, published and received", "event", base, ours, rounds=5)


async def replies(client, plain):
    """A backend's reply completed by its descriptor, against its JSON as sent."""

    def calls(of):
        async def run(count=200):
            for _ in range(count):
                assert (await of.gateway.workmanager.ListWorkers())["workers"]
            return count

        return run

    labels = ("as sent", "complete")
    await compare("backend calls", "call", calls(plain), calls(client), labels=labels)


async def wires(client):
    """A gateway whose messages are laid out in another way, against one of the packaged wire."""
    with emulator("--wire", "moved-numbers") as port:
        async with ApiClient("127.0.0.1", port) as moved:

            def calls(of):
                async def run(count=200):
                    for number in range(count):
                        await of.save_state_async("workmanager", "k", str(number))
                    return count

                return run

            labels = ("packaged", "translated")
            await compare("another wire", "call", calls(client), calls(moved), labels=labels)


def import_time():
    """Seconds until `import` is done, in fresh interpreters, in turn."""
    pairs = []
    for _ in range(10):
        pair = []
        for module in ("grpc.aio", "virtufin.api.client"):
            program = (
                "import time; start = time.perf_counter(); "
                f"import {module}; print(time.perf_counter() - start)"
            )
            out = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
            pair.append(float(out.stdout))
        pairs.append(pair)
    times = [statistics.median(pair[side] for pair in pairs) * 1e3 for side in (0, 1)]
    ratio = statistics.median(pair[1] / pair[0] for pair in pairs)
    print(
        f"{'import':32} grpc.aio {times[0]:7.1f} ms   client {times[1]:7.1f} ms"
        f"            ratio {ratio:.2f}"
    )


async def main():
    with emulator() as port:
        async with (
            ApiClient("127.0.0.1", port) as client,
            ApiClient("127.0.0.1", port, complete_replies=False) as plain,
            aio.insecure_channel(f"127.0.0.1:{port}") as channel,
        ):
            await client.connect()
            await unary(client, channel)
            await events(client, channel)
            await replies(client, plain)
            await wires(client)


if __name__ == "__main__":
    import_time()
    asyncio.run(main())
