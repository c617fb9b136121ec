"""Settings: arguments, environment, and what is refused before anything is sent."""

from contextlib import suppress

import grpc
import pytest

from tests.timing import UNIT
from virtufin.api.client import (
    ApiClient,
    InvalidInputError,
    KeepaliveSettings,
    ReconnectSettings,
    RetrySettings,
    SubscriptionSettings,
    TlsSettings,
    VirtufinError,
)


def test_the_environment_gives_the_address(monkeypatch):
    monkeypatch.setenv("VIRTUFIN_API_HOST", "gw.example")
    monkeypatch.setenv("VIRTUFIN_API_GRPC_PORT", "7002")
    assert ApiClient().target == "gw.example:7002"


def test_an_explicit_address_beats_the_environment(monkeypatch):
    monkeypatch.setenv("VIRTUFIN_API_HOST", "gw.example")
    monkeypatch.setenv("VIRTUFIN_API_GRPC_PORT", "7002")
    assert ApiClient(host="localhost", grpc_port=5002).target == "localhost:5002"


@pytest.mark.parametrize(
    ("host", "target"),
    [
        ("dns:///gw:6002", "dns:///gw:6002"),
        ("ipv4:10.0.0.1:1,10.0.0.2:2", "ipv4:10.0.0.1:1,10.0.0.2:2"),
        ("unix:/run/gw.sock", "unix:/run/gw.sock"),
        ("10.0.0.1", "10.0.0.1:5002"),
        ("::1", "[::1]:5002"),
        ("[::1]", "[::1]:5002"),
        ("MEMORY:x", "memory:x"),
    ],
)
def test_a_host_may_be_a_name_an_address_or_a_grpc_target(host, target):
    assert ApiClient(host).target == target


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ("", "host must be"),
        ("   ", "host must be"),
        ("two words", "host must be"),
        (b"localhost", "host must be"),
        (None, "host must be"),
        ("http://gw", "looks like a URL"),
        ("gw:5002", "grpc_port"),
    ],
)
def test_a_host_that_cannot_be_one_is_refused(host, message):
    with pytest.raises(InvalidInputError, match=message):
        ApiClient(host)


@pytest.mark.parametrize("port", ["5002", 5002.0, None, True, 0, -1, 65536])
def test_a_port_that_cannot_be_one_is_refused(port):
    with pytest.raises(InvalidInputError, match="grpc_port"):
        ApiClient("localhost", port)


def test_a_port_in_the_environment_that_is_no_number_names_the_variable(monkeypatch):
    monkeypatch.setenv("VIRTUFIN_API_GRPC_PORT", "five")
    with pytest.raises(InvalidInputError, match="VIRTUFIN_API_GRPC_PORT"):
        ApiClient()


async def test_a_port_in_the_environment_does_not_matter_if_it_is_not_used(monkeypatch):
    monkeypatch.setenv("VIRTUFIN_API_GRPC_PORT", "five")
    assert ApiClient("memory:").target == "memory:"
    async with grpc.aio.insecure_channel("localhost:1") as channel:
        assert ApiClient(channel=channel).target == "the given channel"


def test_a_synchronous_channel_is_refused():
    with (
        grpc.insecure_channel("localhost:1") as channel,
        pytest.raises(InvalidInputError, match=r"grpc\.aio\.Channel"),
    ):
        ApiClient(channel=channel)


@pytest.mark.parametrize(
    ("target", "local"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("::1", True),
        ("unix:/run/gw.sock", True),
        ("dns:///localhost:5002", True),
        ("ipv4:127.0.0.1:1,127.0.0.2:2", True),
        ("gateway.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("dns://127.0.0.1/gateway.example:5002", False),
        ("ipv4:127.0.0.1:1,192.0.2.5:1", False),
        ("2001:db8::1", False),
    ],
)
async def test_a_key_travels_unencrypted_without_a_warning_on_this_machine_only(
    caplog, target, local
):
    async with ApiClient(target, api_key="secret") as client:
        with suppress(VirtufinError):
            await client.list_services_async(timeout=0.2 * UNIT)
    assert ("unencrypted" not in caplog.text) is local


def test_tls_in_the_environment_must_be_true_or_false(monkeypatch):
    monkeypatch.setenv("VIRTUFIN_API_TLS", "maybe")
    with pytest.raises(InvalidInputError, match="VIRTUFIN_API_TLS"):
        ApiClient()


@pytest.mark.parametrize("text", ["1", "true", "YES", "on"])
def test_tls_is_switched_on_by_the_environment(monkeypatch, text):
    monkeypatch.setenv("VIRTUFIN_API_TLS", text)
    assert ApiClient()._settings.tls == TlsSettings()


def test_tls_is_off_by_default():
    assert ApiClient()._settings.tls is None


def test_tls_must_be_a_switch_or_settings():
    with pytest.raises(InvalidInputError, match="TlsSettings"):
        ApiClient(tls="yes")


def test_a_client_certificate_needs_its_key():
    with pytest.raises(InvalidInputError, match="together"):
        TlsSettings(certificate=b"pem")


@pytest.mark.parametrize("key", ["", " key", "new\nline", "umläut", 5])
def test_an_api_key_that_cannot_travel_is_refused_without_being_shown(key):
    with pytest.raises(InvalidInputError, match="api_key") as caught:
        ApiClient(api_key=key)
    assert not isinstance(key, str) or not key.strip() or key not in str(caught.value)


def test_the_environment_gives_the_api_key(monkeypatch):
    monkeypatch.setenv("VIRTUFIN_API_KEY", "from-environment")
    assert ApiClient()._settings.api_key == "from-environment"


def test_secrets_do_not_show_in_representations():
    client = ApiClient(api_key="s3cret", metadata={"x-token": "t0ken"})
    tls = TlsSettings(certificate=b"c", key=b"pr1vate")
    shown = f"{client!r} {client._settings!r} {tls!r}"
    assert "s3cret" not in shown
    assert "t0ken" not in shown
    assert "pr1vate" not in shown


@pytest.mark.parametrize(
    "metadata",
    [
        {"Upper": "x"},
        {"": "x"},
        {"grpc-x": "x"},
        {"x-api-key": "x"},
        {"plain": b"bytes"},
        {"blob-bin": "text"},
        {"number": 5},
        {5: "x"},
        {"two words": "x"},
        {":path": "x"},
        {"name": "Zürich"},
        {"name": "two\nlines"},
    ],
)
def test_metadata_that_grpc_cannot_carry_is_refused(metadata):
    with pytest.raises(InvalidInputError, match="metadata"):
        ApiClient(metadata=metadata)


@pytest.mark.parametrize("timeout", ["5", -1, float("nan"), True])
def test_a_default_timeout_that_is_no_time_is_refused(timeout):
    with pytest.raises(InvalidInputError, match="timeout"):
        ApiClient(timeout=timeout)


@pytest.mark.parametrize("limit", ["4", 0, -1, 1.5])
def test_a_message_limit_that_is_no_size_is_refused(limit):
    with pytest.raises(InvalidInputError, match="max_message_bytes"):
        ApiClient(max_message_bytes=limit)


async def decide(error):
    return True


@pytest.mark.parametrize(
    "make",
    [
        lambda: KeepaliveSettings(time=0),
        lambda: KeepaliveSettings(timeout=-1),
        lambda: RetrySettings(max_attempts=0),
        lambda: RetrySettings(max_attempts=6),
        lambda: RetrySettings(initial_backoff=0),
        lambda: ReconnectSettings(initial_backoff=float("inf")),
        lambda: ReconnectSettings(jitter=1.5),
        lambda: ReconnectSettings(multiplier=0.5),
        lambda: ReconnectSettings(should_reconnect=decide),
        lambda: SubscriptionSettings(max_buffered_events=0),
        lambda: SubscriptionSettings(ready_wait="2"),
        lambda: SubscriptionSettings(max_buffered_events=0.1),
        lambda: SubscriptionSettings(max_buffered_events=True),
        lambda: KeepaliveSettings(time=1e9),
        lambda: RetrySettings(initial_backoff=0.0001),
        lambda: RetrySettings(max_backoff=1e20),
        lambda: RetrySettings(max_attempts=True),
        lambda: ReconnectSettings(jitter="x"),
        lambda: ReconnectSettings(should_reconnect=5),
        lambda: ReconnectSettings(initial_backoff=10**400),
        lambda: TlsSettings(ca=5),
        lambda: TlsSettings(server_name=5),
        lambda: ApiClient(metadata=5),
        lambda: ApiClient(interceptors=5),
        lambda: ApiClient(interceptors=[5]),
        lambda: ApiClient(source=5),
        lambda: ApiClient(source="\ud800"),
        lambda: ApiClient(source=""),
        lambda: ApiClient(max_message_bytes=2**31),
        lambda: ApiClient(channel=5),
        lambda: ApiClient(host="a\0b"),
    ],
)
def test_settings_out_of_their_range_are_refused(make):
    with pytest.raises(InvalidInputError):
        make()


def test_a_setting_of_another_class_is_refused():
    with pytest.raises(InvalidInputError, match="RetrySettings"):
        ApiClient(retry=KeepaliveSettings())


async def test_a_given_channel_excludes_settings_that_are_fixed_when_a_channel_is_made():
    from grpc import aio

    async with aio.insecure_channel("localhost:1") as channel:
        with pytest.raises(InvalidInputError, match=r"excludes .*retry, tls"):
            ApiClient(channel=channel, tls=True, retry=RetrySettings())


def test_the_constructor_needs_no_running_loop():
    assert "localhost:5002" in repr(ApiClient())
