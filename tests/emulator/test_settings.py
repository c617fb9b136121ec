"""Arguments that an emulator refuses, before anything is started."""

import pytest

from virtufin.api.emulator import Emulator, Service


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"host": 5}, "host is text, got 5"),
        ({"host": None}, "host is text"),
        ({"port": 5.5}, "port is a whole number, got 5.5"),
        ({"port": True}, "port is a whole number, got True"),
        ({"port": "5002"}, "port is a whole number, got '5002'"),
        ({"api_keys": "key"}, "api_keys is an iterable"),
        ({"api_keys": b"key"}, "api_keys is an iterable"),
        ({"api_keys": None}, "api_keys is an iterable"),
        ({"api_keys": [5]}, "an API key is text, got int"),
        ({"services": 5}, "services is an iterable"),
        ({"services": [("a", "x:1")]}, "services are Service objects"),
        ({"accept_any_service": "yes"}, "accept_any_service is True or False, got 'yes'"),
        ({"json_names": 5}, "json_names is text"),
        ({"json_names": []}, "json_names is text"),
        ({"hold_headers": "x"}, "hold_headers is True or False, got 'x'"),
        ({"legacy_state": 1}, "legacy_state is True or False, got 1"),
        ({"max_message_bytes": "x"}, "max_message_bytes is a whole number, got 'x'"),
        ({"max_message_bytes": None}, "max_message_bytes is a whole number"),
        ({"max_concurrent_streams": 1.5}, "max_concurrent_streams is a whole number"),
        ({"max_concurrent_streams": True}, "max_concurrent_streams is a whole number"),
        ({"invocation": 5}, "invocation is an InvocationPolicy or None, got 5"),
        ({"invocation": {}}, "invocation is an InvocationPolicy or None"),
        ({"wire": 5}, "wire is a Wire or one of .current., .moved-numbers., .earlier., got 5"),
        ({"wire": None}, "wire is a Wire or one of"),
        ({"heartbeat": "1"}, "heartbeat is a number of seconds, got .1."),
        ({"reflection": 1}, "reflection is True or False, got 1"),
    ],
)
def test_a_wrong_type_is_a_type_error(options, named):
    with pytest.raises(TypeError, match=named):
        Emulator(**options)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"host": ""}, "host must not be empty"),
        ({"host": "a\0"}, "host must not hold NUL"),
        ({"port": -1}, "port is a whole number from 0 to 65535, got -1"),
        ({"port": 65536}, "port is a whole number from 0 to 65535, got 65536"),
        ({"api_keys": ["a", ""]}, "an API key must not be empty"),
        ({"api_keys": ["schlüssel"]}, "an API key is printable ASCII"),
        ({"api_keys": [" key"]}, "without outer spaces"),
        ({"services": [Service("a", "x:1"), Service("a", "y:1")]}, "two services are named 'a'"),
        ({"json_names": "snake"}, "json_names is 'camel' or 'proto', got 'snake'"),
        ({"max_message_bytes": 0}, "max_message_bytes is a whole number from 1"),
        ({"max_message_bytes": 2**31}, "max_message_bytes is a whole number from 1"),
        ({"max_concurrent_streams": -1}, "max_concurrent_streams is a whole number from 1"),
        ({"max_concurrent_streams": 0}, "max_concurrent_streams is a whole number from 1"),
        (
            {"wire": "packaged"},
            "wire is one of .current., .moved-numbers., .earlier., got .packaged.",
        ),
        ({"heartbeat": 0, "wire": "earlier"}, "heartbeat is a number of seconds above 0"),
        ({"heartbeat": 1}, "heartbeat needs wire=.earlier."),
        ({"heartbeat": 1, "wire": "moved-numbers"}, "heartbeat needs wire=.earlier."),
    ],
)
def test_a_wrong_value_is_a_value_error(options, named):
    with pytest.raises(ValueError, match=named):
        Emulator(**options)


@pytest.mark.parametrize("key", ["s\u00e4cret", "secret ", "sec\nret"])
def test_a_refused_key_is_not_shown(key):
    with pytest.raises(ValueError, match="API key") as caught:
        Emulator(api_keys=[key])
    assert key.strip() not in str(caught.value)


async def test_the_largest_numbers_are_taken(start):
    gateway = await start(max_message_bytes=2**31 - 1, max_concurrent_streams=2**31 - 1)
    assert gateway.port > 0


def test_keys_and_services_may_be_generators():
    services = (Service(name, "x:1") for name in "ab")
    emulator = Emulator(api_keys=(key for key in "ab"), services=services)
    assert [service.name for service in emulator.services] == ["a", "b"]
