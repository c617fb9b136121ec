"""Errors name what a request has wrong, and discovery shows what there is."""

import pytest
from grpc import aio

from tests.backend import make_probe
from tests.layouts import make_emulator
from virtufin.api.client import (
    ApiClient,
    InvalidRequestError,
    NotFoundError,
    UnavailableError,
    VirtufinError,
)
from virtufin.api.emulator import Service

__all__ = ["make_probe"]


@pytest.fixture
async def behind_probe(make_probe, connect):
    """A client of a gateway before a backend `probe`."""
    probe = await make_probe()
    async with make_emulator(services=[Service("probe", probe.address)]) as gateway:
        yield connect(gateway)


async def failure(call, kind=VirtufinError):
    with pytest.raises(kind) as caught:
        await call
    return caught.value


async def test_a_refused_request_names_the_field_and_what_was_meant(client):
    call = client.gateway.workmanager.CreateWorker({"code_sourc": {}, "topics": []})
    error = await failure(call, InvalidRequestError)
    assert error.unknown == ("code_sourc",)
    assert error.nearest == ("code_source",)
    assert "CreateWorkerRequest has no field 'code_sourc'; did you mean 'code_source'?" in str(
        error
    )


async def test_a_field_deep_inside_is_named_with_its_path(client):
    call = client.gateway.workmanager.CreateWorker({"codeSource": {"urll": "x"}})
    error = await failure(call, InvalidRequestError)
    assert (error.unknown, error.nearest) == (("codeSource.urll",), ("url",))


async def test_a_name_without_a_similar_name_lists_all_names(client):
    error = await failure(client.gateway.workmanager.StartWorker({"zzz": 1}), InvalidRequestError)
    assert error.nearest == ()
    assert "It has id." in str(error)


async def test_an_unknown_method_lists_the_nearest(client):
    error = await failure(client.gateway.workmanager.ListWorker(), NotFoundError)
    assert "ListWorkers" in error.nearest
    assert "workmanager has no method 'ListWorker'" in str(error)


async def test_an_unknown_service_lists_the_nearest(client):
    error = await failure(client.gateway.work_manager.ListWorkers(), NotFoundError)
    assert error.nearest[0] == "workmanager"


async def test_a_backend_s_not_found_is_no_unknown_method(client):
    error = await failure(client.gateway.workmanager.GetTags({"id": "gone"}), NotFoundError)
    assert error.unknown == ()


async def test_advice_is_still_an_error_of_the_same_kinds(client):
    error = await failure(client.gateway.workmanager.StartWorker({"idd": 1}))
    assert isinstance(error, ValueError)
    assert isinstance(error, InvalidRequestError)
    assert error.service == "workmanager"
    assert error.__context__ is None


class RecordingRequests(aio.UnaryUnaryClientInterceptor):
    """Notes every call to a backend, in bytes: the layout of the gateway may be any."""

    def __init__(self):
        self.calls = []

    async def intercept_unary_unary(self, continuation, details, request):
        if "InvokeJson" in str(details.method):
            self.calls.append(request)
        return await continuation(details, request)


async def test_an_unknown_field_is_sent_all_the_same(gateway, connect):
    recording = RecordingRequests()
    client = connect(gateway, interceptors=[recording])
    await failure(client.gateway.workmanager.StartWorker({"idd": 1}))
    assert [b'{"idd":1}' in call for call in recording.calls] == [True]


async def test_a_gateway_that_goes_away_hides_no_error(gateway, client):
    await client.gateway.workmanager.ListWorkers()
    gateway.faults.fail("Gateway/ListServices", "INTERNAL", times=None)
    error = await failure(client.gateway.workmanager.Nothing(), NotFoundError)
    assert error.unknown == ()


async def test_without_reflection_methods_are_still_suggested(connect):
    async with make_emulator(reflection=False, wire="current") as gateway:
        error = await failure(connect(gateway).gateway.workmanager.ListWorker(), NotFoundError)
        assert "ListWorkers" in error.nearest


async def test_the_content_of_an_any_is_not_reported_as_unknown(behind_probe):
    request = {"anything": {"@type": "t/acme.Nothing", "s": "x"}, "some_txt": "q"}
    error = await failure(behind_probe.gateway.probe.Echo(request), InvalidRequestError)
    assert error.unknown == ("some_txt",)


async def test_a_method_that_has_answered_is_not_looked_for(connect):
    async with make_emulator(reflection=False, wire="current") as gateway:
        client = connect(gateway)
        await client.gateway.workmanager.ListWorkers()
        tags = await client.gateway.workmanager.CreateWorker({"mime_type": "a"})
        await client.gateway.workmanager.GetTags({"id": tags["id"]})
        listed = gateway.faults.delay("Gateway/ListServices", 0.001, times=None)
        await failure(client.gateway.workmanager.GetTags({"id": "gone"}), NotFoundError)
        assert listed.used == 0


async def test_a_call_without_a_gateway_names_the_address_that_was_tried(unused_port):
    async with ApiClient("127.0.0.1", unused_port) as client:
        error = await failure(client.gateway.workmanager.ListWorkers(), UnavailableError)
    assert (error.method, error.service) == ("virtufin.Gateway/InvokeJson", "workmanager")
    assert error.peer == f"127.0.0.1:{unused_port}"


# Discovery


async def test_a_description_has_methods_and_messages(client):
    description = await client.gateway.workmanager.describe()
    assert description.method("ListWorkers").response == "virtufin.ListWorkersResponse"
    fields = {one.name: one for one in description.messages["virtufin.CreateWorkerRequest"].fields}
    assert fields["config"].type == "map<string, string>"
    assert fields["topics"].type == "repeated string"
    source = {one.name: one for one in description.messages["virtufin.CodeSource"].fields}
    assert source["url"].oneof == "source"
    assert "WORKER_STATUS_RUNNING" in description.enums["virtufin.WorkerStatus"].values


async def test_a_description_reads_as_text(client):
    text = str(await client.gateway.workmanager.describe())
    assert "  ListWorkers(ListWorkersRequest) -> ListWorkersResponse" in text
    assert "virtufin.CodeSource\n  url: string  (one of source)" in text


async def test_a_description_without_that_method_says_so(client):
    with pytest.raises(KeyError):
        (await client.gateway.workmanager.describe()).method("Nothing")


async def test_a_backend_is_described_without_reflection(connect):
    async with make_emulator(reflection=False, wire="current") as gateway:
        description = await connect(gateway).gateway.workmanager.describe()
    fields = {one.name: one for one in description.messages["virtufin.CreateWorkerRequest"].fields}
    assert fields["config"].type == "map<string, string>"
    assert fields["code_source"].type == "CodeSource"


async def test_an_unknown_backend_cannot_be_described(client):
    with pytest.raises(NotFoundError):
        await client.gateway.nothing.describe()


async def test_dir_lists_methods_after_the_first_use(client):
    manager = client.gateway.workmanager
    assert "ListWorkers" not in dir(manager)
    await manager.ListWorkers()
    assert "ListWorkers" in dir(manager)
    assert "describe" in dir(manager)


async def test_dir_lists_no_methods_if_replies_are_not_completed(gateway):
    async with ApiClient(gateway.host, gateway.port, complete_replies=False) as client:
        await client.gateway.workmanager.ListWorkers()
        assert "ListWorkers" not in dir(client.gateway.workmanager)
