"""Attaching to an App of dapr.ext.grpc: the loop beside it, its end, and what is refused."""

import asyncio
import importlib.metadata
import subprocess
import sys
import threading

import grpc
import pytest
from dapr.proto import appcallback_service_v1, common_v1

from tests.dapr.conftest import needs_extension
from tests.dapr.delivering import attached, status_of, topic_event
from tests.timing import UNIT
from virtufin.api.client import FailedPreconditionError, InvalidInputError, UnsupportedError
from virtufin.api.dapr import DaprApp


@pytest.fixture
def app():
    return DaprApp(port=0, grace=10 * UNIT)


@pytest.fixture
def ext_app():
    extension = pytest.importorskip("cloudevents") and pytest.importorskip("dapr.ext.grpc")
    app = extension.App()
    yield app
    app._server.stop(0).wait()


@pytest.fixture
def stub(ext_app):
    """Synchronous, as there is no loop of ours in these tests."""
    port = ext_app._server.add_insecure_port("127.0.0.1:0")
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield appcallback_service_v1.AppCallbackStub(channel)


def test_handlers_run_in_a_loop_of_their_own(app, ext_app, stub):
    threads = []

    @app.subscribe("orders")
    async def handler(event):
        await asyncio.sleep(0)
        threads.append(threading.current_thread().name)

    with app.attach(ext_app):
        ext_app._server.start()
        assert status_of(stub.OnTopicEvent(topic_event())) == "SUCCESS"
        assert threads == ["virtufin-dapr-app"]
    assert threads[0] not in [thread.name for thread in threading.enumerate()]


def test_the_apps_own_handlers_stay(app, ext_app, stub):
    seen = []
    ext_app.method("mine")(lambda request: seen.append("mine"))
    app.method("ours")(lambda request: seen.append("ours"))
    with app.attach(ext_app):
        ext_app._server.start()
        for name in ("mine", "ours"):
            stub.OnInvoke(common_v1.InvokeRequest(method=name))
    assert seen == ["mine", "ours"]


def test_after_the_end_events_go_to_another_instance(app, ext_app, stub):
    app.subscribe("orders")(lambda event: None)
    attachment = app.attach(ext_app)
    ext_app._server.start()
    attachment.close()
    attachment.close()
    assert attachment.closed
    assert status_of(stub.OnTopicEvent(topic_event())) == "RETRY"


def test_the_end_waits_for_handlers_and_answers_them(app, ext_app, stub):
    began, go = threading.Event(), threading.Event()

    @app.subscribe("orders")
    async def handler(event):
        began.set()
        while not go.is_set():
            await asyncio.sleep(0.001)

    with app.attach(ext_app):
        ext_app._server.start()
        call = stub.OnTopicEvent.future(topic_event())
        began.wait()
        threading.Timer(0.05 * UNIT, go.set).start()
    assert status_of(call.result()) == "SUCCESS"


def test_the_end_cuts_off_what_takes_too_long(app, ext_app, stub):
    began = threading.Event()

    @app.subscribe("orders")
    async def handler(event):
        began.set()
        await asyncio.Event().wait()

    attachment = app.attach(ext_app)
    ext_app._server.start()
    call = stub.OnTopicEvent.future(topic_event())
    began.wait()
    attachment.close(grace=0.0)
    assert status_of(call.result()) == "RETRY"


@needs_extension
@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_a_handler_that_wants_the_process_to_end_does_not_end_the_loop(app, ext_app, stub, error):
    seen = []

    @app.subscribe("orders")
    async def handler(event):
        seen.append(event.data_as_json())
        if len(seen) == 1:
            raise error

    with app.attach(ext_app):
        ext_app._server.start()
        assert status_of(stub.OnTopicEvent(topic_event(data=1))) == "RETRY"
        assert status_of(stub.OnTopicEvent(topic_event(data=1))) == "SUCCESS"


@needs_extension
async def test_in_its_own_loop_the_end_is_awaited(app):
    async with attached(app) as caller:
        with pytest.raises(FailedPreconditionError, match="aclose"):
            caller.attachment.close()
        await caller.attachment.aclose()
        assert caller.attachment.closed
        assert not await caller.healthy()


async def test_elsewhere_the_end_can_be_awaited_too(app, ext_app):
    attachment = app.attach(ext_app)
    await attachment.aclose()
    assert attachment.closed


def test_a_loop_that_is_gone_answers_for_another_delivery(app, ext_app, stub):
    loop = asyncio.new_event_loop()
    began = threading.Event()

    @app.subscribe("orders")
    async def handler(event):
        began.set()
        await asyncio.Event().wait()

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    attachment = app.attach(ext_app, loop=loop)
    ext_app._server.start()
    call = stub.OnTopicEvent.future(topic_event())
    began.wait()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    assert status_of(call.result()) == "RETRY"
    assert status_of(stub.OnTopicEvent(topic_event())) == "RETRY"
    attachment.close()
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def test_an_attached_app_is_not_started_or_attached_again(app, ext_app):
    with app.attach(ext_app):
        with pytest.raises(FailedPreconditionError, match="attached"):
            app.attach(ext_app)
        with pytest.raises(FailedPreconditionError, match="attached"):
            asyncio.run(app.start())
        with pytest.raises(FailedPreconditionError, match="attached"):
            app.method("late")(lambda request: None)


@pytest.mark.parametrize("kind", ["topic", "method", "binding"])
@pytest.mark.filterwarnings("ignore:Topic handlers receive:DeprecationWarning")
def test_a_name_that_the_app_handles_itself_cannot_be_attached(app, ext_app, kind):
    if kind == "topic":
        ext_app.subscribe("pubsub", "orders")(lambda event: None)
        app.subscribe("orders")(lambda event: None)
    else:
        getattr(ext_app, kind)("orders")(lambda request: None)
        getattr(app, kind)("orders")(lambda request: None)
    with pytest.raises(InvalidInputError, match=r"already|own"):
        app.attach(ext_app)
    assert "virtufin-dapr-app" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.filterwarnings("ignore:Topic handlers receive:DeprecationWarning")
def test_another_rule_beside_the_apps_own_is_refused(app, ext_app):
    ext_app.subscribe("pubsub", "orders")(lambda event: None)
    app.subscribe("orders", match="true", path="/x")(lambda event: None)
    with pytest.raises(InvalidInputError, match="already"):
        app.attach(ext_app)


def test_another_object_is_no_app(app, ext_app):
    with pytest.raises(InvalidInputError, match=r"dapr\.ext\.grpc\.App"):
        app.attach(object())


def test_another_object_is_no_loop(app, ext_app):
    with pytest.raises(InvalidInputError, match="must be an event loop"):
        app.attach(ext_app, loop="loop")


def test_an_app_of_an_unknown_version_is_refused(app, ext_app):
    ext_app._servicer._registered_topics = None
    with pytest.raises(UnsupportedError, match=r"1\.16 to 1\.19"):
        app.attach(ext_app)


# Which dapr.ext.grpc


def versions(monkeypatch, **installed):
    real = importlib.metadata.version

    def version(name):
        key = name.replace("-", "_")
        if key not in installed:
            return real(name)
        if installed[key] is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return installed[key]

    monkeypatch.setattr(importlib.metadata, "version", version)


def test_two_owners_of_the_extension_are_refused_with_what_mends_it(app, monkeypatch):
    versions(monkeypatch, dapr="1.19.0", dapr_ext_grpc="1.18.3")
    with pytest.raises(ImportError) as caught:
        app.attach(object())
    assert "pip uninstall -y dapr-ext-grpc" in str(caught.value)
    assert "pip install --force-reinstall --no-deps 'dapr==1.19.0'" in str(caught.value)


def test_an_extension_for_another_dapr_is_refused_with_what_mends_it(app, monkeypatch):
    versions(monkeypatch, dapr="1.16.3", dapr_ext_grpc="1.18.3")
    with pytest.raises(ImportError, match=r"pip install 'dapr-ext-grpc==1\.16\.\*'"):
        app.attach(object())


@pytest.mark.parametrize(("version", "extra"), [("1.19.0", "grpc"), ("1.18.3", "ext-grpc")])
def test_a_missing_extension_names_the_extra_that_installs_it(app, monkeypatch, version, extra):
    versions(monkeypatch, dapr=version, dapr_ext_grpc=None)
    monkeypatch.setitem(sys.modules, "dapr.ext.grpc", None)
    with pytest.raises(ImportError, match=rf"pip install 'virtufin-api-dapr\[{extra}\]'"):
        app.attach(object())


def test_importing_the_plugin_does_not_import_the_extension():
    code = (
        "import sys, virtufin.api.dapr; "
        "print([name for name in sys.modules if name.startswith(('dapr.ext', 'dapr.clients'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


async def test_a_loop_that_never_ran_can_be_closed(app, ext_app):
    loop = asyncio.new_event_loop()
    attachment = app.attach(ext_app, loop=loop)
    await attachment.aclose()
    loop.close()
    assert attachment.closed
