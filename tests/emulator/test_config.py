"""virtufin.Config."""

from virtufin.api.emulator import Service
from virtufin.api.protos import config_pb2


async def test_registered_services_are_described(start, stubs_of):
    gateway = await start(
        services=[
            Service("plain", "10.0.0.1:6001"),
            Service(
                "full",
                "[::1]:6002",
                dapr_app_id="app",
                pubsub_name="bus",
                store_name="store",
                state_keys=("a", "b"),
            ),
        ]
    )
    config = stubs_of(gateway).config
    services = (await config.ListServices(config_pb2.ListConfigServicesRequest())).services
    assert list(services) == [
        config_pb2.ConfigService(
            name="plain",
            dapr_app_id="plain",
            grpc={"host": "10.0.0.1", "port": 6001, "reflection_enabled": True},
            pubsub={"pubsub_name": "pubsub"},
            state={"store_name": "statestore"},
            jobs={},
        ),
        config_pb2.ConfigService(
            name="full",
            dapr_app_id="app",
            grpc={"host": "::1", "port": 6002, "reflection_enabled": True},
            pubsub={"pubsub_name": "bus"},
            state={"store_name": "store", "keys": ["a", "b"]},
            jobs={},
        ),
    ]


async def test_a_service_is_described_by_name(stubs):
    request = config_pb2.GetConfigServiceRequest(name="workmanager")
    service = (await stubs.config.GetService(request)).service
    assert service.name == "workmanager"
    assert service.grpc.host == "127.0.0.1"
    assert service.grpc.port > 0


async def test_an_unknown_service_is_unset(stubs):
    request = config_pb2.GetConfigServiceRequest(name="missing")
    assert not (await stubs.config.GetService(request)).HasField("service")


async def test_a_target_without_port_is_shown_as_it_is(start, stubs_of):
    stubs = stubs_of(await start(services=[Service("local", "unix:/tmp/x.sock")]))
    request = config_pb2.GetConfigServiceRequest(name="local")
    endpoint = (await stubs.config.GetService(request)).service.grpc
    assert (endpoint.host, endpoint.port) == ("unix:/tmp/x.sock", 0)
