"""Services and the file that lists them."""

from dataclasses import fields

import pytest

from virtufin.api.emulator import SAMPLES, Emulator, Service

# Private, because the public way to read a file is the command: a process for each of these cases.
from virtufin.api.emulator._invocation.registered_services import ServicesFileError, read_services


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "services.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_file_is_read(written):
    path = written(
        """
        [[service]]
        name = "workmanager"
        address = "sample:workmanager"

        [[service]]
        name = "orders"
        address = "127.0.0.1:6001"
        grpc_service = "acme.Orders"
        dapr_app_id = "orders-app"
        state_keys = ["open"]
        """
    )
    assert read_services(path) == (
        Service("workmanager", "sample:workmanager"),
        Service(
            "orders",
            "127.0.0.1:6001",
            dapr_app_id="orders-app",
            grpc_service="acme.Orders",
            state_keys=("open",),
        ),
    )


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("=", "not TOML"),
        ("", "service"),
        ("service = 1", "service"),
        ("service = [1]", "table"),
        ("other = 1\n[[service]]\nname = 'a'\naddress = 'x:1'", "nothing else"),
        ("[[service]]\nname = 'a'", "address"),
        ("[[service]]\naddress = 'x:1'", "name"),
        ("[[service]]\nname = ''\naddress = 'x:1'", "name"),
        ("[[service]]\nname = 'a'\naddress = 1", "address .* got 1"),
        ("[[service]]\nname = 'a'\naddress = 'sample:x'", "workmanager"),
        ("[[service]]\nname = 'a'\naddress = 'x:1'\nstate_keys = 'k'", "state_keys"),
        ("[[service]]\nname = 'a'\naddress = 'x:1'\nstate_keys = [1]", "state_keys"),
        ("[[service]]\nname = 'a'\naddress = 'x:1'\nstate_keys = {}", "state_keys"),
        ("[[service]]\nname = 'a'\naddress = 'x:1'\nadress = 'y'", "'adress'"),
        ("[[service]]\nname = 'a'\naddress = 'x:1'\n" * 2, "two services"),
    ],
)
def test_a_file_with_other_content_is_refused(written, text, named):
    with pytest.raises(ServicesFileError, match=named) as caught:
        read_services(written(text))
    assert "services.toml" in str(caught.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ServicesFileError, match="No such file"):
        read_services(tmp_path / "none.toml")


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "services.toml"
    path.write_bytes(b"\xff")
    with pytest.raises(ServicesFileError, match="not TOML"):
        read_services(path)


def test_only_services_are_taken_for_services():
    with pytest.raises(TypeError, match="Service"):
        Emulator(services=[("a", "x:1")])


@pytest.mark.parametrize("services", ["workmanager", 5, SAMPLES[0]])
def test_services_are_several(services):
    with pytest.raises(TypeError, match="services is an iterable"):
        Emulator(services=services)


@pytest.mark.parametrize("field", [field.name for field in fields(Service)])
@pytest.mark.parametrize("value", [5, None, b"x"])
def test_everything_of_a_service_is_text(field, value):
    with pytest.raises(TypeError, match=f"{field.removeprefix('state_')}.* got"):
        Service(**{"name": "a", "address": "x:1", field: value})


def test_each_state_key_is_text():
    with pytest.raises(TypeError, match="state_keys of service 'a' is text, got 5"):
        Service("a", "x:1", state_keys=["k", 5])


def test_a_single_text_is_not_taken_for_several_state_keys():
    with pytest.raises(TypeError, match="state_keys of service 'a' is an iterable"):
        Service("a", "x:1", state_keys="k")


@pytest.mark.parametrize("field", ["name", "address"])
@pytest.mark.parametrize("value", ["", "a\0", "\udc80"])
def test_name_and_address_must_be_valid_text(field, value):
    with pytest.raises(ValueError, match=f"{field}.* must not"):
        Service(**{"name": "a", "address": "x:1", field: value})


@pytest.mark.parametrize("name", ["nope", "", "WorkManager", " workmanager"])
def test_an_unknown_sample_is_refused_with_a_list_of_the_samples(name):
    with pytest.raises(ValueError, match=f"no sample '{name}'.* workmanager, websocketmanager"):
        Service("a", f"sample:{name}")


async def test_every_sample_that_an_error_names_can_be_called(start, stubs_of, invoke_json):
    with pytest.raises(ValueError, match="no sample 'x'") as caught:
        Service("a", "sample:x")
    names = ["workmanager", "websocketmanager"]
    assert str(caught.value).endswith(", ".join(names))
    gateway = await start(services=[Service(f"my-{name}", f"sample:{name}") for name in names])
    stubs = stubs_of(gateway)
    assert (await invoke_json(stubs, "my-workmanager", "ListWorkers")).success
    assert (await invoke_json(stubs, "my-websocketmanager", "List")).success


@pytest.mark.parametrize("port", ["99999999999", "²", "", "x"])
def test_an_invalid_port_is_part_of_the_address(port):
    assert Service("a", f"host:{port}").endpoint == (f"host:{port}", 0)


def test_the_samples_know_what_they_are():
    assert [service.sample for service in SAMPLES] == ["workmanager", "websocketmanager"]
    assert Service("a", "host:1").sample == ""
    assert Service("a", "dns:sample:1").sample == ""
