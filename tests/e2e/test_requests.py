"""Requests published at a gateway and answered by a DaprApp beside its own sidecar."""

import asyncio
from types import SimpleNamespace

import pytest

from tests.ports import kept_port
from tests.timing import UNIT
from virtufin.api.client import errors
from virtufin.api.dapr import DaprApp, Drop
from virtufin.api.emulator import Service

REQUESTS = 200


@pytest.fixture(scope="module")
def app_port():
    with kept_port() as port:
        yield port


@pytest.fixture(scope="module")
def app_sidecar(start_sidecar, app_port):
    return start_sidecar("answering", app_port=app_port)


@pytest.fixture
async def app(app_port, app_sidecar):
    """Answers on topic `questions`; runs until the test ends."""
    app = DaprApp(port=app_port, sidecar_address=app_sidecar.address)

    @app.subscribe("questions")
    async def answer(event):
        if event.data_as_text() == "nonsense":
            raise Drop("no such question")
        return {"answer to": event.data_as_text()}

    @app.method("quote")
    async def quote(request):
        return {"method": request.method, "asked": request.data_as_json()}

    async with app:
        await asyncio.to_thread(app_sidecar.wait_for_app)
        yield app


@pytest.fixture(scope="module")
def gateway(start_replica):
    return start_replica("requesting", services=[Service("prices", "dapr:answering")])


@pytest.mark.usefixtures("app")
async def test_a_request_is_answered_by_a_dapr_app(gateway, connect, topic):
    client = connect(gateway)
    reply = await client.pubsub.publish_with_result_async(
        topic="questions", data="what", reply_topic=topic, timeout=20 * UNIT
    )
    assert reply.topic == topic
    assert reply.data_as_json() == {"answer to": "what"}


@pytest.mark.usefixtures("app")
async def test_a_request_that_the_app_drops_fails_at_once(gateway, connect, topic):
    client = connect(gateway)
    with pytest.raises(errors.RequestFailedError, match="no such question"):
        await client.pubsub.publish_with_result_async(
            topic="questions", data="nonsense", reply_topic=topic, timeout=20 * UNIT
        )


@pytest.mark.usefixtures("app")
async def test_a_method_of_the_app_is_called_through_the_gateway(gateway, connect):
    answer = await connect(gateway).gateway.prices.quote({"symbol": "ABC"})
    assert answer == {"method": "quote", "asked": {"symbol": "ABC"}}
    with pytest.raises(errors.UnsupportedError, match="quote"):
        await connect(gateway).gateway.prices.qoute({})


@pytest.mark.heavy
@pytest.mark.timeout(180)
@pytest.mark.parametrize("victim", ["the app's sidecar", "the gateway's sidecar", "Redis"])
async def test_requests_are_answered_though_it_is_killed(
    victim, app, app_sidecar, gateway, real_redis, connect, topic
):
    killed = {
        "the app's sidecar": app_sidecar,
        "the gateway's sidecar": gateway.sidecar,
        "Redis": real_redis,
    }[victim]
    client = connect(gateway)
    answered, some, reported = set(), asyncio.Event(), SimpleNamespace(failed=0)
    numbers = iter(range(REQUESTS))

    async def ask():
        for number in numbers:
            while True:
                try:
                    reply = await client.pubsub.publish_with_result_async(
                        topic="questions",
                        data=str(number),
                        reply_topic=topic.replace(" ", "-"),
                        timeout=20 * UNIT,
                    )
                except (errors.UnavailableError, errors.InternalError):
                    # Reported as not published, so the requester tries again.
                    reported.failed += 1
                    await asyncio.sleep(0.05 * UNIT)
                else:
                    assert reply.data_as_json() == {"answer to": str(number)}
                    answered.add(number)
                    if len(answered) == REQUESTS // 4:
                        some.set()
                    break

    async def kill():
        await some.wait()
        await asyncio.to_thread(killed.restart)

    await asyncio.wait_for(asyncio.gather(kill(), *(ask() for _ in range(10))), 150 * UNIT)
    assert answered == set(range(REQUESTS))
