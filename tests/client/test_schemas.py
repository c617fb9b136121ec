"""The messages of backends: fetched by reflection, kept, and fetched again when they change."""

import asyncio
import math
import socket
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from tests.backend import PROBE, make_probe, probe
from tests.client.conftest import UNIT, until
from tests.client.rewriting import Rewriting
from tests.layouts import make_emulator
from virtufin.api.client import ApiClient, VirtufinError
from virtufin.api.emulator import SAMPLES, InvocationPolicy, Service

__all__ = ["make_probe", "probe"]

REFLECTION = "grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
FORGETFUL = InvocationPolicy(descriptor_lifetime=0.001, retry_delay=0.001)


@pytest.fixture
async def behind(connect, take_port):
    """Starts a gateway before these backends; returns it and a client of it."""
    gateways = []

    async def start(*services, settings=None, **options):
        options = {"wire": "current", "port": take_port(), **options}
        gateway = await make_emulator(services=[*SAMPLES, *services], **options).__aenter__()
        gateways.append(gateway)
        return gateway, connect(gateway, **(settings or {}))

    yield start
    for gateway in gateways:
        await gateway.stop()


async def test_a_reply_has_an_empty_list_for_a_list_without_items(client):
    for worker in (await client.gateway.workmanager.ListWorkers())["workers"]:
        await client.gateway.workmanager.DeleteWorker({"id": worker["id"]})
    assert await client.gateway.workmanager.ListWorkers() == {"workers": []}


async def test_without_reflection_the_json_comes_as_sent(behind):
    _, client = await behind(reflection=False)
    reply = await client.gateway.workmanager.ListWorkers()
    assert "mimeType" in reply["workers"][0]


async def test_complete_replies_can_be_switched_off(behind):
    gateway, client = await behind(settings={"complete_replies": False, "wire": "packaged"})
    fetched = gateway.faults.delay(REFLECTION, 0.001, times=None)
    reply = await client.gateway.workmanager.ListWorkers()
    assert "mimeType" in reply["workers"][0]
    assert fetched.used == 0


async def test_a_reflection_that_does_not_answer_costs_its_bound_once(behind):
    gateway, client = await behind(settings={"reflection_timeout": 0.2 * UNIT})
    stalled = gateway.faults.delay(REFLECTION, 3600, times=None)
    for _ in range(3):
        assert "mimeType" in (await client.gateway.workmanager.ListWorkers())["workers"][0]
    assert stalled.used == 1


async def test_200_first_calls_fetch_once(behind):
    gateway, client = await behind()
    one = gateway.faults.delay(REFLECTION, 0.001, times=None)
    await client.gateway.workmanager.ListWorkers()
    one.lift()
    all_of_them = gateway.faults.delay(REFLECTION, 0.001, times=None)
    async with ApiClient(gateway.host, gateway.port) as other:
        calls = (other.gateway.workmanager.ListWorkers() for _ in range(200))
        replies = await asyncio.gather(*calls)
    assert all(reply["workers"][0]["mime_type"] for reply in replies)
    assert all_of_them.used == one.used


async def test_a_schema_that_changes_is_followed(behind, make_probe):
    old = await make_probe()
    _, client = await behind(Service("probe", old.address), invocation=FORGETFUL)
    assert (await client.gateway.probe.Echo({"some_text": "a"}))["some_text"] == "a"
    await old.stop()
    renamed = PROBE.replace('"some_text"', '"new_text"')
    await make_probe(renamed, port=old.port)
    reply = await client.gateway.probe.Echo({"new_text": "b", "raw_bytes": b"\x00"})
    assert (reply["new_text"], reply["raw_bytes"]) == ("b", b"\x00")
    assert "some_text" not in reply


async def test_a_reply_that_never_fits_does_not_fetch_the_schema_each_time(behind, rewriting):
    gateway, client = await behind(settings={"interceptors": [rewriting]})
    await client.gateway.workmanager.ListWorkers()
    rewriting.reply = {"workers": 5}
    fetched = gateway.faults.delay(REFLECTION, 0.001, times=None)
    began = time.monotonic()
    await client.gateway.workmanager.ListWorkers()
    once = fetched.used
    for _ in range(20):
        await client.gateway.workmanager.ListWorkers()
    # Two fetches at once, and then the pauses of 1, 2, 4, ... seconds that have passed.
    pauses = math.log2(1 + time.monotonic() - began)
    assert 0 < fetched.used <= (3 + pauses) * once


async def test_the_schemas_of_a_restarted_gateway_are_fetched_again(behind, make_probe):
    probe = await make_probe()
    gateway, client = await behind(Service("probe", probe.address))
    await client.gateway.probe.Echo()
    await gateway.stop()
    await probe.stop()
    renamed = PROBE.replace('"maybe"', '"perhaps"').replace('"_maybe"', '"_perhaps"')
    await make_probe(renamed, port=probe.port)
    await gateway.start()
    await client.connect()
    assert "perhaps" in await client.gateway.probe.Echo()


async def test_backends_that_clash_work_side_by_side(client):
    worker = (await client.gateway.workmanager.ListWorkers())["workers"][0]
    connection = (await client.gateway.websocketmanager.List())["connections"][0]
    for _ in range(2):
        tags = await client.gateway.workmanager.GetTags({"id": worker["id"]})
        assert tags["tags"] == worker["tags"]
        listed = await client.gateway.websocketmanager.List()
        assert listed["connections"][0]["url"] == connection["url"]


BESIDE_STUBS = """
import asyncio
from google.protobuf import descriptor_pb2, descriptor_pool
file = descriptor_pb2.FileDescriptorProto(name="workmanager.proto", package="virtufin")
message = file.message_type.add(name="WorkerInfo")
message.field.add(name="other", number=1, type=5, label=1)
descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
from virtufin.api.client import ApiClient
async def main():
    async with ApiClient("memory:") as client:
        workers = (await client.gateway.workmanager.ListWorkers())["workers"]
        assert workers[0]["mime_type"], workers
        assert (await client.gateway.websocketmanager.List())["connections"][0]["url"]
asyncio.run(main())
"""


def test_stubs_that_the_user_imports_do_not_clash():
    subprocess.run([sys.executable, "-c", BESIDE_STUBS], check=True, timeout=60)


async def test_a_backend_of_several_services_is_known_whole(behind, make_probe):
    text = (
        PROBE
        + """
service {
  name: "Second"
  method { name: "Repeat" input_type: ".acme.Everything" output_type: ".acme.Everything" }
}
"""
    )
    probe = await make_probe(text)
    _, client = await behind(Service("probe", probe.address))
    assert (await client.gateway.probe.Echo())["children"] == []
    assert (await client.gateway.probe.Repeat())["children"] == []


async def test_two_services_of_one_file_are_distinguished_by_what_the_gateway_lists(
    behind, make_probe
):
    text = PROBE.replace(
        'service {\n  name: "Probe"',
        'service { name: "Other" method { name: "Echo" input_type: ".acme.Nothing" '
        'output_type: ".acme.Nothing" } }\nservice {\n  name: "Probe"',
    )
    probe = await make_probe(text, service="acme.Probe")
    _, client = await behind(Service("probe", probe.address, grpc_service="acme.Probe"))
    assert (await client.gateway.probe.Echo())["children"] == []


@pytest.fixture
def rewriting():
    """Lets a test say the JSON of a backend's reply."""
    return Rewriting()


FORMS = """
name: "forms.proto" package: "acme" syntax: "proto3"
message_type {
  name: "Forms"
  field { name: "int64" number: 1 type: TYPE_INT64 label: LABEL_OPTIONAL proto3_optional: true
          oneof_index: 0 }
  field { name: "bytes" number: 2 type: TYPE_BYTES label: LABEL_OPTIONAL }
  field { name: "double" number: 3 type: TYPE_DOUBLE label: LABEL_OPTIONAL }
  field { name: "bool" number: 4 type: TYPE_BOOL label: LABEL_OPTIONAL }
  field { name: "string" number: 5 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "a_b" number: 6 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "aB" number: 7 type: TYPE_STRING label: LABEL_OPTIONAL json_name: "c" }
  oneof_decl { name: "_int64" }
}
service {
  name: "Probe"
  method { name: "Echo" input_type: ".acme.Forms" output_type: ".acme.Forms" }
}
"""


@pytest.fixture
async def read(behind, make_probe, rewriting):
    """Reads JSON as the reply of a backend: `reply, fits = await read(json)`.

    Whether the JSON fits the backend's messages shows in the client fetching them again.
    """
    backend = await make_probe(FORMS)
    settings = {"interceptors": [rewriting]}
    gateway, client = await behind(Service("probe", backend.address), settings=settings)
    await client.gateway.probe.Echo()
    again = gateway.faults.delay(REFLECTION, 0.001, times=None)

    async def reply_of(sent):
        rewriting.reply, before = sent, again.used
        return await client.gateway.probe.Echo(), again.used == before

    return reply_of


async def test_fields_that_the_schema_does_not_know_are_kept(behind, rewriting):
    _, client = await behind(settings={"interceptors": [rewriting]})
    worker = {"id": 5, "topics": "none", "status": "WORKER_STATUS_NEW", "more": {"a": [1]}}
    rewriting.reply = {"workers": [worker]}
    (value,) = (await client.gateway.workmanager.ListWorkers())["workers"]
    assert {key: value[key] for key in worker} == worker
    assert value["mime_type"] == ""


@pytest.mark.parametrize(
    "odd", [{"int64": "x"}, {"bytes": []}, {"string": 5}, {"more": {"a": [1]}}], ids=str
)
async def test_a_reply_that_does_not_fit_has_the_messages_fetched_again(read, odd):
    _, fits = await read({"int64": "1"})
    assert fits
    _, fits = await read(odd)
    assert not fits


@pytest.mark.parametrize(
    ("kind", "sent", "value"),
    [
        ("int64", "12", 12),
        ("int64", 12, 12),
        ("int64", 12.0, 12),
        ("bytes", "_-8", b"\xff\xef"),
        ("bytes", "/+8=", b"\xff\xef"),
        ("double", "NaN", pytest.approx(float("nan"), nan_ok=True)),
        ("double", 1, 1.0),
        ("double", "-Infinity", float("-inf")),
        ("bool", True, True),
    ],
)
async def test_values_are_read_in_each_of_their_forms(read, kind, sent, value):
    reply, fits = await read({kind: sent})
    assert (reply[kind], type(reply[kind])) == (value, type(getattr(value, "expected", value)))
    assert fits


@pytest.mark.parametrize(
    ("kind", "sent"),
    [
        ("int64", "1.5"),
        ("int64", 1.5),
        ("int64", True),
        ("int64", float("inf")),
        ("bytes", "*"),
        ("bytes", 5),
        ("double", "much"),
        ("double", True),
        ("bool", "true"),
        ("string", 5),
    ],
)
async def test_values_that_do_not_fit_stay_as_sent(read, kind, sent):
    reply, fits = await read({kind: sent})
    assert (reply[kind], type(reply[kind])) == (sent, type(sent))
    assert not fits


@pytest.mark.parametrize("sent", [{"a_b": "1", "aB": "2"}, {"aB": "1", "c": "2"}], ids=str)
async def test_a_reply_in_proto_names_is_not_crossed_by_json_names(read, sent):
    reply, fits = await read(sent)
    assert (reply["a_b"], reply["aB"]) == ("1", "2")
    assert "c" not in reply
    assert fits


async def test_a_json_name_that_is_a_proto_name_too_belongs_to_one_field(read):
    reply, fits = await read({"c": "2", "zz": "9"})
    assert (reply["a_b"], reply["aB"], reply["zz"]) == ("", "2", "9")
    assert not fits


@pytest.fixture
async def echo(behind, make_probe, rewriting):
    """Calls the echo of `acme.Everything`."""
    backend = await make_probe()
    settings = {"interceptors": [rewriting]}
    _, client = await behind(Service("probe", backend.address), settings=settings)
    await client.gateway.probe.Echo()
    return client.gateway.probe.Echo


@pytest.mark.parametrize("kind", ["\ud800", "t/\x00", "no/such.Type", 5])
async def test_an_any_of_an_unknown_type_stays_as_sent(echo, rewriting, kind):
    rewriting.reply = {"anything": {"@type": kind, "a": 1}}
    assert (await echo())["anything"] == rewriting.reply["anything"]


async def test_a_reply_nested_too_deeply_comes_as_sent(echo, rewriting):
    deep = {"some_text": "end"}
    # Deeper on newer Pythons, on which a level takes fewer frames and JSON may be deeper.
    for _ in range(400 if sys.version_info < (3, 12) else 900):
        deep = {"children": [deep]}
    rewriting.reply = {"children": [{}]}
    assert "some_text" in (await echo())["children"][0]
    rewriting.reply = deep
    assert await echo() == deep


async def test_an_old_schema_is_renewed_beside_a_call(behind, make_probe, monkeypatch):
    old = await make_probe()
    _, client = await behind(Service("probe", old.address), invocation=FORGETFUL)
    await client.gateway.probe.Echo()
    await old.stop()
    await make_probe(
        PROBE.replace('"maybe"', '"perhaps"').replace('"_maybe"', '"_perhaps"'), port=old.port
    )
    assert "maybe" in await client.gateway.probe.Echo()
    client.gateway._calls._known("probe").expires_at = 0.0
    await client.gateway.probe.Echo()
    await until(lambda: client.gateway._calls._known("probe").expires_at > 0.0)
    assert "perhaps" in await client.gateway.probe.Echo()


@pytest.mark.slow
async def test_a_backend_whose_reflection_hangs_does_not_take_the_others_along(behind, probe):
    gateway, client = await behind(
        Service("probe", probe.address),
        settings={"reflection_timeout": 0.5 * UNIT, "timeout": 10 * UNIT},
        invocation=InvocationPolicy(reflection_timeout=3600.0),
    )
    await client.list_services_async()
    with socket.create_server(("127.0.0.1", 0)) as stalled:
        gateway._registry.locate("probe", f"127.0.0.1:{stalled.getsockname()[1]}")
        with suppress(VirtufinError):
            await client.gateway.probe.Echo(timeout=2 * UNIT)
        assert "mime_type" in (await client.gateway.workmanager.ListWorkers())["workers"][0]


async def test_a_stalled_reflection_costs_its_bound_once_even_with_the_packaged_wire(behind):
    settings = {"reflection_timeout": 0.2 * UNIT, "wire": "packaged"}
    gateway, client = await behind(settings=settings)
    stalled = gateway.faults.delay(REFLECTION, 3600, times=None)
    for _ in range(4):
        await client.gateway.workmanager.ListWorkers()
    assert stalled.used == 1
