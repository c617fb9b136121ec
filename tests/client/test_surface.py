"""The public names of the package."""

import inspect
import subprocess
import sys

import pytest

import virtufin.api.client
from virtufin.api.client import ApiClient, PubsubClient, errors, results

PAGE_METHODS = {
    "list_services_async": ["self"],
    "list_methods_async": ["self", "service"],
    "invoke_async": ["self", "service", "method", "request_data"],
    "save_state_async": ["self", "service", "key", "value", "etag"],
    "get_state_async": ["self", "service", "key"],
    "get_all_state_async": ["self", "service"],
    "register_keys_async": ["self", "service", "keys"],
    "subscribe_async_with_handler": ["self", "handler", "services", "topics", "event_types"],
    "close": ["self"],
}


# A1
def test_default_host_and_port():
    assert ApiClient().target == "localhost:5002"


# A2
def test_custom_host_and_port():
    assert ApiClient(host="gateway.example", grpc_port=6002).target == "gateway.example:6002"


# A3
@pytest.mark.parametrize("name", PAGE_METHODS)
def test_all_expected_methods_present(name):
    method = getattr(ApiClient, name)
    positional = [
        parameter.name
        for parameter in inspect.signature(method).parameters.values()
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]
    assert inspect.iscoroutinefunction(method)
    assert positional == PAGE_METHODS[name]


def test_the_documented_pubsub_methods_take_the_documented_arguments():
    parameters = inspect.signature(PubsubClient.publish_with_result_async).parameters
    assert list(parameters) == [
        "self",
        "topic",
        "data",
        "reply_topic",
        "timeout",
        "metadata",
        "correlation_id",
    ]
    assert parameters["timeout"].default == 30.0


def test_the_exported_names_are_sorted_and_exist():
    names = virtufin.api.client.__all__
    assert sorted(names) == sorted(set(names))
    assert all(hasattr(virtufin.api.client, name) for name in names)


def test_every_error_class_is_exported_by_the_package():
    assert set(errors.__all__) <= set(virtufin.api.client.__all__)


def test_every_public_class_of_errors_is_listed():
    defined = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and value.__module__ == errors.__name__
    }
    assert defined == set(errors.__all__)


def test_every_result_type_is_listed():
    defined = {name for name, value in vars(results).items() if name.endswith(("Result", "Schema"))}
    assert defined <= set(results.__all__)


@pytest.mark.parametrize("name", virtufin.api.client.__all__)
def test_every_exported_object_says_what_it_is(name):
    value = getattr(virtufin.api.client, name)
    if inspect.isclass(value) or inspect.isfunction(value):
        assert inspect.getdoc(value)


def test_dapr_publisher_is_offered_but_not_star_imported():
    assert "DaprPublisher" in dir(virtufin.api.client)
    assert "DaprPublisher" not in virtufin.api.client.__all__


def test_without_the_dapr_plugin_the_import_names_the_command_to_install_it():
    program = (
        "import sys; sys.modules['virtufin.api.dapr'] = None\n"
        "try:\n"
        "    from virtufin.api.client import DaprPublisher\n"
        "except ImportError as error:\n"
        "    print(error)\n"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "pip install 'virtufin-api[dapr]'" in out.stdout


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="NoSuchThing"):
        _ = virtufin.api.client.NoSuchThing


def test_importing_the_client_loads_neither_emulator_nor_plugin():
    program = (
        "import sys, virtufin.api.client\n"
        "print([m for m in sys.modules if m.startswith(('virtufin.api.emulator', 'dapr', "
        "'virtufin.api.dapr'))])"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert out.stdout.strip() == "[]"
