"""The configuration of the gateway's services."""

from tests.client.scripted import WIRE


async def test_configured_services_are_listed(client):
    services = await client.config.list_services()
    assert [service["name"] for service in services] == ["workmanager", "websocketmanager"]
    assert services[0]["grpc"]["reflection_enabled"]


async def test_a_service_is_fetched_by_name(client):
    service = await client.config.get_service("workmanager")
    assert service["name"] == "workmanager"
    assert service["grpc"]["port"] > 0


async def test_an_unknown_service_is_none(client):
    assert await client.config.get_service("missing") is None


async def test_a_part_that_is_not_configured_is_none(scripted, connect):
    async def answer(request, context):
        response = WIRE["Config.GetService"].response()
        response.service.name = "bare"
        return response

    scripted.answer("Config.GetService", answer)
    assert await connect(scripted).config.get_service("bare") == {
        "name": "bare",
        "dapr_app_id": "",
        "grpc": None,
        "pubsub": None,
        "state": None,
        "jobs": None,
    }


async def test_every_part_is_reported(scripted, connect):
    async def answer(request, context):
        response = WIRE["Config.ListServices"].response()
        service = response.services.add(name="full", dapr_app_id="app")
        service.grpc.host, service.grpc.port = "h", 1
        service.pubsub.pubsub_name = "pubsub"
        service.state.store_name = "store"
        service.state.keys.append("k")
        service.jobs.SetInParent()
        return response

    scripted.answer("Config.ListServices", answer)
    assert await connect(scripted).config.list_services_async() == [
        {
            "name": "full",
            "dapr_app_id": "app",
            "grpc": {"host": "h", "port": 1, "reflection_enabled": False},
            "pubsub": {"pubsub_name": "pubsub"},
            "state": {"store_name": "store", "keys": ["k"]},
            "jobs": {},
        }
    ]
