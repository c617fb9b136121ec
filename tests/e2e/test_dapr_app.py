"""A DaprApp beside a real sidecar: what it answers has the effect that it should have."""

import asyncio
import contextlib
import http.client
import json
import signal
import sys
from collections import Counter

import pytest

from tests.dapr.delivering import calling
from tests.timing import UNIT, until
from tests.workspace import ROOT
from virtufin.api.dapr import BulkDelivery, DaprApp, DaprPublisher, Drop

SUBSCRIPTION = {
    "apiVersion": "dapr.io/v2alpha1",
    "kind": "Subscription",
    "metadata": {"name": "declared"},
    "spec": {
        "pubsubname": "pubsub",
        "topic": "declared",
        "routes": {"default": "/declared"},
        "deadLetterTopic": "declared-dead",
    },
}
EVENTS = 400


REDELIVERIES = 100
"""Units that several redeliveries may take, each of which waits for a second or more."""


def registered(app, seen):
    """Handlers that say what they saw."""

    def note(name):
        async def handler(event):
            seen[name, event.data_as_text()] += 1

        return handler

    for topic in ("dead", "declared-dead", "bulk-dead", "answers"):
        app.subscribe(topic)(note(topic))
    app.subscribe("routed", match='event.type == "a"')(note("routed by type"))
    rule = 'has(event.scenarioid) && event.scenarioid == "s"'
    app.subscribe("routed", match=rule)(note("routed by extension"))
    app.subscribe("routed")(note("routed by none"))

    @app.subscribe("twice")
    async def twice(event):
        seen["twice"] += 1
        if seen["twice"] < 3:
            raise RuntimeError("once more")

    @app.subscribe("dropped", dead_letter_topic="dead")
    async def dropped(event):
        raise Drop("no use")

    @app.subscribe("declared", path="/declared", declared=True)
    async def declared(event):
        raise Drop("no use")

    @app.subscribe("bulk", bulk=BulkDelivery(10, 0.2), dead_letter_topic="bulk-dead")
    async def bulk(event):
        if event.data_as_text() == "bad":
            raise Drop("no use")
        seen["bulk", event.data_as_text(), event.extensions["runid"]] += 1

    @app.subscribe("questions")
    async def questions(event):
        return f"re: {event.data_as_text()}"

    @app.binding("clock")
    async def clock(request):
        seen["clock"] += 1

    @app.method("quote")
    async def quote(request):
        return {"method": request.method, "data": request.data_as_text()}


@contextlib.asynccontextmanager
async def own(app, port):
    async with app:
        yield


@contextlib.asynccontextmanager
async def attached(app, port):
    extension = pytest.importorskip("cloudevents") and pytest.importorskip("dapr.ext.grpc")
    ext_app = extension.App()
    with contextlib.ExitStack() as ending:
        attachment = app.attach(ext_app, loop=asyncio.get_running_loop())
        thread = asyncio.ensure_future(asyncio.to_thread(ext_app.run, port, "127.0.0.1"))
        ending.callback(ext_app.stop)
        yield
        await attachment.aclose()
    await thread


@pytest.mark.heavy
@pytest.mark.timeout(120)
@pytest.mark.parametrize("serving", [own, attached])
async def test_every_answer_has_its_effect(serving, real_parts, real_redis, unused_port):
    port, seen = unused_port, Counter()
    resources = [
        *real_parts.redis_components(real_redis),
        real_parts.component("clock", "bindings.cron", {"schedule": "@every 1s"}),
        json.dumps(SUBSCRIPTION),
    ]
    # Redis keeps what the other server's run has published.
    dapr = real_parts.Sidecar(
        f"shop-{serving.__name__}",
        resources,
        app_port=port,
        arguments=("--enable-app-health-check", "--app-health-probe-interval", "1"),
        environment={"APP_API_TOKEN": "t0ken"},
    )
    app = DaprApp(port=port, sidecar_address=dapr.address, api_token="t0ken")
    registered(app, seen)
    run = serving.__name__
    async with serving(app, port):
        await asyncio.to_thread(dapr.start)
        try:
            async with DaprPublisher(address=dapr.address) as publisher:
                await until(
                    lambda: seen["clock"], "the first event of the binding", within=REDELIVERIES
                )
                publish = publisher.publish_async
                await publish("twice", run)
                await publish("dropped", run)
                await publish("declared", run)
                await publish("routed", f"{run} a", type="a")
                await publish("routed", f"{run} s", extensions={"scenarioid": "s"})
                await publish("routed", f"{run} -")
                await publish("bulk", run, extensions={"runid": 7})
                await publish("bulk", "bad", extensions={"runid": 7})
                await publish("questions", run, correlation_id="c", reply_topic="answers")
                for expected in (
                    ("dead", run),
                    ("declared-dead", run),
                    ("routed by type", f"{run} a"),
                    ("routed by extension", f"{run} s"),
                    ("routed by none", f"{run} -"),
                    ("bulk", run, 7),
                    ("bulk-dead", "bad"),
                    ("answers", f"re: {run}"),
                ):
                    await until(lambda key=expected: seen[key], expected, within=REDELIVERIES)
                await until(lambda: seen["twice"] >= 3, "the redelivery", within=REDELIVERIES)
            answer = await asyncio.to_thread(invoke, dapr)
            assert answer == {"method": "quote", "data": "ABC"}
        finally:
            await asyncio.to_thread(dapr.close)


def invoke(dapr):
    connection = http.client.HTTPConnection("127.0.0.1", dapr.http_port)
    with contextlib.closing(connection):
        connection.request("POST", f"/v1.0/invoke/{dapr.app_id}/method/quote", b"ABC")
        return json.loads(connection.getresponse().read())


@pytest.mark.heavy
@pytest.mark.timeout(180)
@pytest.mark.parametrize("sidecar_ends", [True, False], ids=["with its sidecar", "alone"])
async def test_an_instance_that_ends_under_load_loses_nothing(
    sidecar_ends, real_parts, real_redis, tmp_path, take_port
):
    topic = f"load-{sidecar_ends}"
    resources = real_parts.redis_components(real_redis)
    handled = [tmp_path / "first", tmp_path / "second"]
    seconds = 0.1 * UNIT
    async with contextlib.AsyncExitStack() as running:
        instances = []
        for file in handled:
            file.touch()
            port = take_port()
            arguments = (str(port), str(file), str(seconds), topic)
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.e2e.handling_app", *arguments, cwd=ROOT
            )
            running.push_async_callback(end, process)
            dapr = real_parts.Sidecar("shop", resources, app_port=port)
            running.push_async_callback(asyncio.to_thread, dapr.close)
            await asyncio.to_thread(dapr.start)
            async with calling(port) as caller:
                await until(caller_answers(caller), "the app")
            instances.append((process, dapr))
        first, first_sidecar = instances[0]
        async with DaprPublisher(address=instances[1][1].address) as publisher:
            await publisher.publish_many_async(topic, range(EVENTS))
            await until(
                lambda: len(lines(handled[0])) > 20,
                "the first instance at work",
                within=REDELIVERIES,
            )
            began = asyncio.get_running_loop().time()
            first.send_signal(signal.SIGTERM)
            if sidecar_ends:
                stopping = asyncio.ensure_future(asyncio.to_thread(first_sidecar.stop))
            assert await first.wait() == 0
            took = asyncio.get_running_loop().time() - began
            if sidecar_ends:
                await stopping
            else:
                # It goes on to offer its app what it holds, until it ends too.
                await asyncio.sleep(UNIT)
                await asyncio.to_thread(first_sidecar.stop)
            wanted = {str(number) for number in range(EVENTS)}
            await until(
                lambda: set(lines(handled[0]) + lines(handled[1])) == wanted,
                "that every event was handled",
                within=REDELIVERIES,
            )
    assert took < 10 * (10 * seconds)


def lines(file):
    return file.read_text().split()


def caller_answers(caller):
    """A condition for `until`: the app has answered once."""
    call = asyncio.ensure_future(caller.channel.channel_ready())
    return call.done


async def end(process):
    if process.returncode is None:
        process.kill()
    await process.wait()
