"""The generated messages and stubs as their users see them."""

import datetime as dt
import importlib
import importlib.resources
import pickle

import grpc.aio
import pytest
from google.protobuf import json_format, message_factory

MESSAGES = ("cloudevents_pb2", "gateway_pb2", "pubsub_pb2", "state_pb2", "config_pb2")
STUBS = {
    "gateway_pb2_grpc": "GatewayStub",
    "pubsub_pb2_grpc": "PubsubStub",
    "state_pb2_grpc": "StateStub",
    "config_pb2_grpc": "ConfigStub",
}


def module(name):
    return importlib.import_module(f"virtufin.api.protos.{name}")


def full_event():
    """A CloudEvent with every kind of attribute."""
    event = module("cloudevents_pb2").CloudEvent(
        id="1",
        source="urn:com.virtufin.workmanager",
        spec_version="1.0",
        type="com.virtufin.workmanager.worker.started",
        text_data='{"id": "w1"}',
    )
    event.attributes["flag"].ce_boolean = True
    event.attributes["count"].ce_integer = -7
    event.attributes["subject"].ce_string = "worker/w1"
    event.attributes["raw"].ce_bytes = b"\x00\xff"
    event.attributes["uri"].ce_uri = "https://example.com/a"
    event.attributes["uriref"].ce_uri_ref = "/a"
    moment = dt.datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=dt.timezone.utc)
    event.attributes["time"].ce_timestamp.FromDatetime(moment)
    return event


# A4
def test_proto_types_importable():
    gateway, pubsub, state = module("gateway_pb2"), module("pubsub_pb2"), module("state_pb2")
    assert gateway.InvokeJsonRequest(service="workmanager").service == "workmanager"
    assert pubsub.PublishRequest(topic="prices").topic == "prices"
    assert state.SaveStateRequest(key="k", value="v").value == "v"
    assert module("config_pb2").ConfigService(name="workmanager").name == "workmanager"


# A6
async def test_grpc_stub_accessible():
    async with grpc.aio.insecure_channel("localhost:1") as channel:
        for name, stub in STUBS.items():
            assert getattr(module(name), stub)(channel)


@pytest.mark.parametrize("copied", ["bytes", "pickle", "json", "merge", "any"])
def test_an_event_survives_a_round_trip(copied):
    event = full_event()
    fresh = type(event)()
    if copied == "bytes":
        fresh.ParseFromString(event.SerializeToString())
    elif copied == "pickle":
        fresh = pickle.loads(pickle.dumps(event))
    elif copied == "json":
        json_format.Parse(json_format.MessageToJson(event), fresh)
    elif copied == "merge":
        fresh.MergeFrom(event)
    else:
        envelope = type(event)()
        envelope.proto_data.Pack(event)
        assert envelope.proto_data.Is(event.DESCRIPTOR)
        assert envelope.proto_data.Unpack(fresh)
    assert fresh == event
    assert fresh.attributes["time"].ce_timestamp.ToDatetime().year == 2026


def test_any_shows_as_json_with_our_pool():
    envelope = module("cloudevents_pb2").CloudEvent()
    envelope.proto_data.Pack(module("state_pb2").StateItem(key="k"))
    pool = envelope.DESCRIPTOR.file.pool
    shown = json_format.MessageToDict(envelope, descriptor_pool=pool)
    assert shown["protoData"]["key"] == "k"


@pytest.mark.parametrize("name", MESSAGES)
def test_every_message_survives_a_round_trip(name):
    for message_type in module(name).DESCRIPTOR.message_types_by_name.values():
        message = message_factory.GetMessageClass(message_type)()
        assert type(message).FromString(message.SerializeToString()) == message


@pytest.mark.parametrize("name", [*MESSAGES, *STUBS])
def test_type_information_is_shipped(name):
    folder = importlib.resources.files("virtufin.api.protos")
    assert folder.joinpath(f"{name}.pyi").is_file()
    assert folder.joinpath("py.typed").is_file()


def test_the_protos_have_a_single_stream_and_unary_calls():
    streams = [
        method.name
        for name in MESSAGES
        for service in module(name).DESCRIPTOR.services_by_name.values()
        for method in service.methods
        if method.server_streaming or method.client_streaming
    ]
    assert streams == ["Subscribe"]
