"""Events of a stream, against a bare `async for` on a canned server; request and reply."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

from grpc import aio
from pairs import Bound, Row, compare
from servers import EVENTS, canned

from virtufin.api.client import ApiClient, PubsubEvent
from virtufin.api.protos import cloudevents_pb2, pubsub_pb2, pubsub_pb2_grpc

IN_FLIGHT = 1000


async def rows(quick: bool) -> AsyncIterator[Row]:
    """Yields each row when it is measured."""
    rounds = 3 if quick else 11
    with canned() as server:
        async with (
            ApiClient("127.0.0.1", server.port, wire="packaged") as client,
            aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
        ):
            stub = pubsub_pb2_grpc.PubsubStub(channel)

            async def peer() -> int:
                call = stub.Subscribe(pubsub_pb2.SubscribeRequest(topics=["t"]))
                count = 0
                async for item in call:
                    count += bool(item.cloudevent.text_data)
                    if count == EVENTS:
                        break
                call.cancel()
                return count

            async def iterate() -> int:
                subscription = await client.pubsub.subscribe_async("t")
                count = 0
                async for event in subscription:
                    count += bool(event.data)
                    if count == EVENTS:
                        break
                await subscription.aclose()
                return count

            async def handle(**filters: list[str]) -> int:
                done = asyncio.Event()
                count = 0

                def on_event(event: PubsubEvent) -> None:
                    nonlocal count
                    count += bool(event.data)
                    if count == EVENTS:
                        done.set()

                handler = await client.pubsub.subscribe_async_with_handler(
                    on_event, topics=["t"], **filters
                )
                await done.wait()
                await handler.cancel()
                return count

            async def handle_filtered() -> int:
                return await handle(services=["x"], event_types=["com.virtufin.x.price"])

            for what, run, most in (
                ("stream, iterator", iterate, 1.0),
                ("stream, handler", handle, 1.03),
                ("stream, filtered handler", handle_filtered, 1.06),
            ):
                row = Row("streams", what, "bare async for", "client", "event")
                row.bounds.append(Bound("cpu", at_most=most))
                yield await compare(row, peer, run, rounds=rounds)
            yield await requests(client, stub, rounds)


async def requests(client: ApiClient, stub: pubsub_pb2_grpc.PubsubStub, rounds: int) -> Row:
    """Measures requests with replies, against publishing and receiving on bare stubs."""
    waiting: dict[str, asyncio.Future[pubsub_pb2.SubscribeResponse]] = {}

    async def read(call: aio.UnaryStreamCall) -> None:
        async for item in call:
            attribute = item.cloudevent.attributes["correlationid"]
            waiting.pop(attribute.ce_string).set_result(item)

    async def request() -> None:
        event = cloudevents_pb2.CloudEvent(
            id=str(uuid.uuid4()), source="urn:x", type="t", spec_version="1.0", text_data="{}"
        )
        identifier = str(uuid.uuid4())
        event.attributes["correlationid"].ce_string = identifier
        event.attributes["replytopic"].ce_string = "replies-peer"
        waiting[identifier] = asyncio.get_running_loop().create_future()
        reply = waiting[identifier]
        await stub.PublishEvent(pubsub_pb2.PublishRequest(topic="q", cloudevent=event), timeout=30)
        await reply

    async def peer() -> int:
        call = stub.Subscribe(pubsub_pb2.SubscribeRequest(topics=["replies-peer"]))
        await call.initial_metadata()
        reader = asyncio.create_task(read(call))
        await asyncio.gather(*(request() for _ in range(IN_FLIGHT)))
        call.cancel()
        await asyncio.wait((reader,))
        return IN_FLIGHT

    async def ours() -> int:
        publish = client.pubsub.publish_with_result_async
        await asyncio.gather(*(publish("q", {}, "replies-ours") for _ in range(IN_FLIGHT)))
        return IN_FLIGHT

    row = Row(
        "request and reply", f"request and reply, {IN_FLIGHT} in flight", "bare stubs", "client"
    )
    row.bounds.append(Bound("rate", at_least=0.8))
    return await compare(row, peer, ours, rounds=rounds)
