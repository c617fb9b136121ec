"""Start and end of an app."""

import asyncio
import os
import signal
import socket
import threading

import grpc
import pytest

from tests.dapr.delivering import calling
from tests.timing import UNIT, until
from virtufin.api.client import FailedPreconditionError, InvalidInputError, WrongLoopError
from virtufin.api.dapr import DaprApp


@pytest.fixture
def app():
    return DaprApp(port=0, grace=10 * UNIT)


class Held:
    """A handler that runs until it is let go."""

    def __init__(self, app, topic="orders"):
        self.began, self.go = asyncio.Event(), asyncio.Event()
        self.seen, self.cancelled = [], []
        app.subscribe(topic)(self)

    async def __call__(self, event):
        self.seen.append(event.message_id)
        self.began.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled.append(event.message_id)
            raise


def test_making_an_app_needs_no_loop_and_takes_no_port():
    app = DaprApp(port=0)
    assert not app.running
    assert app.port == 0
    assert repr(app) == (
        "<DaprApp not running on 127.0.0.1:0, 0 event handlers, 0 methods, 0 bindings>"
    )


async def test_a_running_app_has_its_port(app):
    app.subscribe("orders")(lambda event: None)
    async with app:
        assert app.running
        assert app.port > 0
        assert repr(app) == (
            f"<DaprApp running on 127.0.0.1:{app.port}, 1 event handlers, 0 methods, 0 bindings>"
        )
    assert not app.running


async def test_an_app_listens_on_ipv6():
    app = DaprApp(host="::1", port=0)
    async with app, grpc.aio.insecure_channel(f"[::1]:{app.port}") as channel:
        await channel.channel_ready()
        assert channel.get_state() is grpc.ChannelConnectivity.READY


async def test_an_app_that_was_stopped_can_be_started_again(app, own):
    app.subscribe("orders")(lambda event: None)
    for _ in range(2):
        async with own(app) as caller:
            assert await caller.event() == "SUCCESS"


async def test_stopping_twice_is_stopping(app):
    await app.stop()
    await app.start()
    await asyncio.gather(app.stop(), app.stop())
    await app.stop()
    assert not app.running


async def test_starting_twice_is_refused(app):
    async with app:
        with pytest.raises(FailedPreconditionError, match="running"):
            await app.start()


async def test_a_taken_port_is_an_error_that_says_so():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        app = DaprApp(port=port)
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1 port {port}"):
            await app.start()
    assert not app.running
    async with app:
        assert app.port == port


@pytest.mark.parametrize("turns", range(1, 5))
async def test_a_start_that_is_cancelled_leaves_no_server_behind(turns, unused_port):
    app = DaprApp(port=unused_port)
    starting = asyncio.ensure_future(app.start())
    for _ in range(turns):
        await asyncio.sleep(0)
    starting.cancel()
    await asyncio.wait((starting,))
    await app.stop()
    async with DaprApp(port=unused_port) as again:
        assert again.running


async def test_two_apps_do_not_share_a_port(app):
    async with app:
        with pytest.raises(OSError, match="is another app running there"):
            await DaprApp(port=app.port).start()


@pytest.mark.parametrize("register", ["subscribe", "method", "binding"])
async def test_registering_with_a_running_app_is_refused(app, register):
    decorator = None if register == "subscribe" else getattr(app, register)("x")
    async with app:
        with pytest.raises(FailedPreconditionError, match="running"):
            (decorator or getattr(app, register)("x"))(lambda event: None)


async def test_a_health_check_of_a_running_app_is_refused(app):
    async with app:
        with pytest.raises(FailedPreconditionError, match="running"):
            app.health_check(lambda: True)


async def test_another_loop_cannot_stop_an_app(app):
    failures = []

    def elsewhere():
        try:
            asyncio.run(app.stop())
        except WrongLoopError as error:
            failures.append(error)

    async with app:
        await asyncio.to_thread(elsewhere)
    assert len(failures) == 1


@pytest.mark.parametrize("grace", [-1, float("nan"), float("inf"), "1", None], ids=str)
async def test_a_grace_time_that_is_none_is_refused(app, grace):
    if grace is not None:
        with pytest.raises(InvalidInputError, match="grace"):
            await app.stop(grace)
    with pytest.raises(InvalidInputError, match="grace"):
        DaprApp(grace=grace)


# Draining


async def test_a_running_handler_may_finish(app, own):
    handler = Held(app)
    async with own(app) as caller:
        call = asyncio.ensure_future(caller.event())
        await handler.began.wait()
        stopping = asyncio.ensure_future(app.stop())
        await until(lambda: app._run.core.work.draining)
        handler.go.set()
        await stopping
        assert await call == "SUCCESS"


async def test_while_the_app_ends_events_go_to_another_instance(app, own):
    handler = Held(app)
    async with own(app) as caller:
        call = asyncio.ensure_future(caller.event(id="1"))
        await handler.began.wait()
        stopping = asyncio.ensure_future(app.stop())
        await until(lambda: app._run.core.work.draining)
        assert await caller.event(id="2") == "RETRY"
        assert not await caller.healthy()
        handler.go.set()
        await stopping
        assert await call == "SUCCESS"
    assert handler.seen == ["1"]


async def test_while_the_app_ends_methods_and_bindings_are_unavailable(app, own):
    handler = Held(app)
    app.method("quote")(lambda request: None)
    app.binding("clock")(lambda request: None)
    async with own(app) as caller:
        call = asyncio.ensure_future(caller.event())
        await handler.began.wait()
        stopping = asyncio.ensure_future(app.stop())
        await until(lambda: app._run.core.work.draining)
        for attempt in (caller.invoke("quote"), caller.bind("clock")):
            with pytest.raises(grpc.aio.AioRpcError, match="the app is ending") as caught:
                await attempt
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        handler.go.set()
        await asyncio.gather(stopping, call)


async def test_events_that_wait_for_their_turn_go_to_another_instance(own):
    app = DaprApp(port=0, max_concurrency=1)
    handler = Held(app)
    async with own(app) as caller:
        first = asyncio.ensure_future(caller.event())
        await handler.began.wait()
        waiting = [asyncio.ensure_future(caller.event(id=str(n))) for n in (2, 3)]
        await until(lambda: len(app._run.core.work._capacity._waiting) == 2)
        stopping = asyncio.ensure_future(app.stop())
        assert await asyncio.gather(*waiting) == ["RETRY", "RETRY"]
        handler.go.set()
        await stopping
        assert await first == "SUCCESS"
    assert handler.seen == ["1"]


async def test_a_handler_that_takes_too_long_is_cancelled_and_its_event_redelivered(app, own):
    handler = Held(app)
    async with own(app) as caller:
        call = asyncio.ensure_future(caller.event(id="1"))
        await handler.began.wait()
        await app.stop(grace=0.1 * UNIT)
        assert await call == "RETRY"
    assert handler.cancelled == ["1"]


async def test_a_handler_that_swallows_its_cancellation_does_not_hold_the_app(app, own, caplog):
    began, go = asyncio.Event(), asyncio.Event()

    @app.subscribe("orders")
    async def stubborn(event):
        began.set()
        while not go.is_set():
            try:
                await go.wait()
            except asyncio.CancelledError:
                continue

    async with own(app) as caller:
        call = asyncio.ensure_future(caller.event())
        await began.wait()
        await app.stop(grace=0.0)
        assert await call == "RETRY"
        assert "a handler goes on although it was cancelled" in caplog.text
        go.set()


async def test_a_handler_cannot_wait_for_its_own_end(app, own):
    caught = []

    @app.subscribe("orders")
    async def handler(event):
        with pytest.raises(FailedPreconditionError, match="start a task") as error:
            await app.stop()
        caught.append(error)

    async with own(app) as caller:
        assert await caller.event() == "SUCCESS"
    assert caught


async def test_a_handler_may_begin_the_end(app, own):
    stopping = []

    @app.subscribe("orders")
    async def handler(event):
        stopping.append(asyncio.ensure_future(app.stop()))

    async with own(app) as caller:
        assert await caller.event() == "SUCCESS"
        await stopping[0]
    assert not app.running


async def test_nothing_is_left_running(app, own):
    before = asyncio.all_tasks()
    handler = Held(app)
    async with own(app) as caller:
        call = asyncio.ensure_future(caller.event())
        await handler.began.wait()
        await app.stop(grace=0.0)
        await call
    await until(lambda: asyncio.all_tasks() <= before, "the end of all tasks")


# serve()


async def test_serving_ends_when_it_is_cancelled(app):
    serving = asyncio.ensure_future(app.serve())
    await until(lambda: app.running)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert not app.running


async def test_a_cancelled_serve_drains(app):
    handler = Held(app)
    serving = asyncio.ensure_future(app.serve())
    await until(lambda: app.port)
    async with calling(app.port) as caller:
        call = asyncio.ensure_future(caller.event())
        await handler.began.wait()
        serving.cancel()
        await until(lambda: app._run.core.work.draining)
        handler.go.set()
        assert await call == "SUCCESS"
        with pytest.raises(asyncio.CancelledError):
            await serving


async def test_serving_ends_when_the_app_is_stopped(app):
    serving = asyncio.ensure_future(app.serve())
    await until(lambda: app.running)
    assert not serving.done()
    await app.stop()
    await asyncio.wait_for(serving, 10 * UNIT)
    assert not app.running


async def test_serving_gives_signals_back(app):
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    serving = asyncio.ensure_future(app.serve())
    await until(lambda: app.running)
    os.kill(os.getpid(), signal.SIGTERM)
    await serving
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


async def test_a_signal_ends_every_app_of_the_process():
    apps = [DaprApp(port=0) for _ in range(2)]
    serving = [asyncio.ensure_future(app.serve()) for app in apps]
    await until(lambda: all(app.port for app in apps))
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(asyncio.gather(*serving), 10 * UNIT)
    assert not any(app.running for app in apps)


async def test_an_app_that_ends_first_leaves_the_signals_to_the_other():
    before = signal.getsignal(signal.SIGTERM)
    apps = [DaprApp(port=0) for _ in range(2)]
    serving = []
    for app in apps:
        serving.append(asyncio.ensure_future(app.serve()))
        await until(lambda app=app: app.port)
    await apps[0].stop()
    await serving[0]
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(serving[1], 10 * UNIT)
    assert signal.getsignal(signal.SIGTERM) is before


async def test_a_signal_handler_that_was_set_in_the_meantime_stays(app):
    before = signal.getsignal(signal.SIGTERM)
    serving = asyncio.ensure_future(app.serve())
    await until(lambda: app.port)
    try:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        await app.stop()
        await serving
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_serving_in_another_thread_leaves_signals_alone(app):
    loop = asyncio.new_event_loop()

    def serve():
        asyncio.set_event_loop(loop)
        loop.run_until_complete(app.serve())
        loop.close()

    thread = threading.Thread(target=serve)
    thread.start()
    await until(lambda: app.port)
    asyncio.run_coroutine_threadsafe(app.stop(), loop)
    await asyncio.to_thread(thread.join)
    assert not app.running
