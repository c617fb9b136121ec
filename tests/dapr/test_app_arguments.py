"""Arguments that an app refuses before anything runs, and the sources of its settings."""

import functools

import pytest

from virtufin.api.client import InvalidInputError
from virtufin.api.dapr import BulkDelivery, DaprApp


def handler(event):
    """Any."""


@pytest.fixture
def app():
    return DaprApp()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pubsub_name": ""}, "pubsub_name must not be empty"),
        ({"host": ""}, "host must not be empty"),
        ({"port": 65536}, "port must be a whole number"),
        ({"port": "3010"}, "port must be a whole number"),
        ({"max_concurrency": 0}, "max_concurrency must be a whole number"),
        ({"grace": -1}, "grace must be a finite number"),
        ({"api_token": "ü"}, "api_token must be printable ASCII"),
        ({"sidecar_token": ""}, "sidecar_token must be printable ASCII"),
        ({"sidecar_address": ""}, "address must be text"),
        ({"source": ""}, "source must be text"),
        ({"on_error": "log"}, "on_error must be a function"),
    ],
    ids=str,
)
def test_arguments_that_cannot_be_used_are_refused(arguments, message):
    with pytest.raises(InvalidInputError, match=message):
        DaprApp(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"topic": ""}, "topic must not be empty"),
        ({"topic": 7}, "topic must be text"),
        ({"pubsub_name": ""}, "pubsub_name must not be empty"),
        ({"match": ""}, "match must not be empty"),
        ({"path": ""}, "path must not be empty"),
        ({"dead_letter_topic": ""}, "dead_letter_topic must not be empty"),
        ({"bulk": 100}, "bulk must be True, False or BulkDelivery"),
        ({"metadata": "raw"}, "metadata must be a mapping"),
        ({"metadata": {"rawPayload": True}}, "metadata 'rawPayload' must be text"),
        ({"declared": True, "match": "true"}, "known by its path"),
    ],
    ids=str,
)
def test_subscriptions_that_could_not_work_are_refused(app, arguments, message):
    with pytest.raises(InvalidInputError, match=message):
        app.subscribe(**{"topic": "orders", **arguments})(handler)
    assert "0 event handlers" in repr(app)


def generator(event):
    yield


async def asynchronous_generator(event):
    yield


class Generating:
    async def __call__(self, event):
        yield


class Handler:
    """No handler, but its objects may be."""

    def __call__(self, event):
        """Handles."""


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        pytest.param(None, "must be a function", id="nothing"),
        pytest.param(Handler, "is the class Handler", id="class"),
        pytest.param(generator, "is a generator", id="generator"),
        pytest.param(asynchronous_generator, "is a generator", id="asynchronous generator"),
        pytest.param(functools.partial(generator), "is a generator", id="partial generator"),
        pytest.param(Generating(), "is a generator", id="generating object"),
    ],
)
@pytest.mark.parametrize("register", ["subscribe", "method", "binding", "health_check"])
def test_an_object_that_is_no_handler_is_refused(app, register, wrong, message):
    decorator = app.health_check if register == "health_check" else getattr(app, register)("x")
    with pytest.raises(InvalidInputError, match=message):
        decorator(wrong)


@pytest.mark.parametrize("register", ["subscribe", "method", "binding", "health_check"])
def test_a_decorator_returns_the_function(app, register):
    decorator = app.health_check if register == "health_check" else getattr(app, register)("x")
    assert decorator(handler) is handler


def test_an_object_may_be_a_handler(app):
    app.subscribe("orders")(Handler())
    assert "1 event handler" in repr(app)


@pytest.mark.parametrize("register", ["subscribe", "method", "binding"])
def test_two_handlers_of_the_same_are_refused(app, register):
    getattr(app, register)("x")(handler)
    with pytest.raises(InvalidInputError, match="has a handler already"):
        getattr(app, register)("x")(handler)


def test_two_health_checks_are_refused(app):
    app.health_check(handler)
    with pytest.raises(InvalidInputError, match="health check already"):
        app.health_check(handler)


def test_the_same_rule_twice_is_refused(app):
    app.subscribe("orders", match="true")(handler)
    with pytest.raises(InvalidInputError, match="match 'true'"):
        app.subscribe("orders", match="true")(handler)


def test_the_same_path_twice_is_refused(app):
    app.subscribe("orders", match="true", path="/a")(handler)
    with pytest.raises(InvalidInputError, match="path '/a' of topic 'orders' is taken"):
        app.subscribe("orders", path="/a")(handler)


def test_a_function_may_handle_several_topics(app):
    app.subscribe("a")(app.subscribe("b")(handler))
    assert "2 event handlers" in repr(app)


def test_the_same_topic_of_two_components_is_two(app):
    app.subscribe("orders")(handler)
    app.subscribe("orders", "second")(handler)
    assert "2 event handlers" in repr(app)


@pytest.mark.parametrize(
    "settings", [{"dead_letter_topic": "d"}, {"bulk": True}, {"metadata": {"a": "b"}}], ids=str
)
def test_handlers_of_one_topic_cannot_want_it_differently(app, settings):
    app.subscribe("orders")(handler)
    with pytest.raises(InvalidInputError, match="differs from what its first handler gave"):
        app.subscribe("orders", match="true", **settings)(handler)


def test_handlers_of_one_topic_may_repeat_its_settings(app):
    app.subscribe("orders", dead_letter_topic="d")(handler)
    app.subscribe("orders", match="true", dead_letter_topic="d")(handler)
    assert "2 event handlers" in repr(app)


def test_a_topic_is_declared_for_all_its_handlers_or_none(app):
    app.subscribe("orders", declared=True)(handler)
    with pytest.raises(InvalidInputError, match="declared for one handler"):
        app.subscribe("orders", match="true", path="/a")(handler)


@pytest.mark.parametrize(
    "arguments", [{"max_events": 0}, {"max_await": 0}, {"max_await": 1e7}], ids=str
)
def test_bulk_delivery_needs_positive_numbers_that_dapr_can_hold(arguments):
    with pytest.raises(InvalidInputError):
        BulkDelivery(**arguments)


# The environment


def test_the_port_comes_from_the_environment(monkeypatch):
    assert DaprApp().port == 3010
    monkeypatch.setenv("APP_PORT", "5001")
    assert DaprApp().port == 5001
    assert DaprApp(port=5002).port == 5002


@pytest.mark.parametrize("port", ["http", "70000"])
def test_a_port_in_the_environment_that_is_none_is_refused(monkeypatch, port):
    monkeypatch.setenv("APP_PORT", port)
    with pytest.raises(InvalidInputError, match="APP_PORT"):
        DaprApp()


def test_tokens_come_from_the_environment_and_do_not_show(monkeypatch):
    monkeypatch.setenv("APP_API_TOKEN", "app-t0ken")
    monkeypatch.setenv("DAPR_API_TOKEN", "dapr-t0ken")
    app = DaprApp()
    assert app._settings.api_token == "app-t0ken"
    assert app._settings.redact("app-t0ken dapr-t0ken") == "*** ***"
    assert "t0ken" not in repr(app) + repr(app._settings)


def test_none_is_no_token(monkeypatch):
    monkeypatch.setenv("APP_API_TOKEN", "app-t0ken")
    assert DaprApp(api_token=None)._settings.api_token is None
