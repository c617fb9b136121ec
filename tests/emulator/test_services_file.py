"""Services and the file that lists them."""

import pytest

from virtufin.api.emulator import SAMPLES, Emulator, Service
from virtufin.api.emulator._services import ServicesFileError, read_services


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
        ("[[service]]\nname = 'a'\naddress = 1", "address = 1"),
        ("[[service]]\nname = 'a'\naddress = 'x:1'\nstate_keys = 'k'", "state_keys"),
        ("[[service]]\nname = 'a'\naddress = 'x:1'\nadress = 'y'", "'adress'"),
        ("[[service]]\nname = 'a'\naddress = 'x:1'\n" * 2, "two services"),
    ],
)
def test_a_file_that_says_something_else_is_refused(written, text, named):
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


def test_the_samples_know_what_they_are():
    assert [service.sample for service in SAMPLES] == ["workmanager", "websocketmanager"]
    assert Service("a", "host:1").sample == ""
    assert Service("a", "dns:sample:1").sample == ""
