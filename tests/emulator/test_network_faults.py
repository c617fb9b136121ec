"""Connections that break as networks break them."""

import asyncio
import socket
import struct

import grpc
import pytest

from tests.timing import until
from virtufin.api.emulator import Emulator, Relay
from virtufin.api.protos import state_pb2

GET = state_pb2.GetStateRequest(service="workmanager", key="k")


class EchoServer:
    """Sends back what it gets, and knows how its connections ended."""

    def __init__(self):
        self.endings = asyncio.Queue()
        self.connections = 0

    async def serve(self, reader, writer):
        self.connections += 1
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            self.endings.put_nowait("closed")
        except ConnectionResetError:
            self.endings.put_nowait("reset")
        finally:
            self.connections -= 1
            writer.close()


def address_of(server):
    return f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def take_turns(count):
    """Lets the loop turn so many times."""
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.fixture
async def echo():
    server = EchoServer()
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.target = address_of(listener)
    yield server
    listener.close()


@pytest.fixture
async def relay(echo):
    async with Relay(echo.target) as relay:
        yield relay


@pytest.fixture
async def dial(relay):
    """Opens connections to the relay."""
    writers = []

    async def open_connection():
        reader, writer = await asyncio.open_connection(relay.host, relay.port)
        writers.append(writer)
        return reader, writer

    yield open_connection
    for writer in writers:
        writer.close()


async def answer(connection, data, unit):
    """Sends data and returns what comes back."""
    reader, writer = connection
    writer.write(data)
    return await asyncio.wait_for(reader.readexactly(len(data)), 10 * unit)


async def is_idle(connection, data, unit):
    """Sends data and returns whether nothing comes back for a while."""
    reader, writer = connection
    writer.write(data)
    try:
        await asyncio.wait_for(reader.readexactly(len(data)), 0.2 * unit)
    except asyncio.TimeoutError:
        return True
    return False


async def test_everything_goes_through_in_order_and_whole(relay, dial):
    reader, writer = await dial()
    data = bytes(range(256)) * 40_000
    reading = asyncio.ensure_future(reader.readexactly(len(data)))
    writer.write(data)
    assert await reading == data


async def test_a_reader_that_does_not_read_holds_the_sender_back(relay, dial, unit):
    reader, writer = await dial()
    chunk, sent, held_back = bytes(1024 * 1024), 0, False
    while not held_back and sent < 200:
        writer.write(chunk)
        sent += 1
        drained = asyncio.ensure_future(writer.drain())
        held_back = not (await asyncio.wait((drained,), timeout=0.5 * unit))[0]
    assert held_back
    assert len(await reader.readexactly(sent * len(chunk))) == sent * len(chunk)
    await drained


async def test_a_closed_connection_ends_cleanly_on_both_sides(relay, dial, echo, unit):
    connection = await dial()
    assert await answer(connection, b"x", unit) == b"x"
    assert relay.close_connections() == 1
    assert await connection[0].read() == b""
    assert await echo.endings.get() == "closed"
    assert relay.connections == 0


async def test_a_reset_connection_is_reset(relay, dial, echo, unit):
    connection = await dial()
    assert await answer(connection, b"x", unit) == b"x"
    assert relay.reset_connections() == 1
    with pytest.raises(ConnectionResetError):
        await connection[0].read()
    await echo.endings.get()
    assert relay.connections == 0


async def test_the_end_of_a_client_reaches_the_server(relay, dial, echo, unit):
    connection = await dial()
    assert await answer(connection, b"x", unit) == b"x"
    connection[1].close()
    assert await echo.endings.get() == "closed"


async def test_a_client_that_has_sent_all_still_gets_the_answer(relay, dial, echo):
    reader, writer = await dial()
    writer.write(b"question")
    writer.write_eof()
    assert await reader.read() == b"question"
    assert await echo.endings.get() == "closed"
    await until(lambda: not relay.connections)


async def test_a_server_that_has_sent_all_still_gets_the_rest():
    rest = asyncio.get_running_loop().create_future()

    async def serve(reader, writer):
        writer.write_eof()
        rest.set_result(await reader.read())
        writer.close()

    async with (
        await asyncio.start_server(serve, "127.0.0.1", 0) as server,
        Relay(address_of(server)) as relay,
    ):
        reader, writer = await asyncio.open_connection(relay.host, relay.port)
        assert await reader.read() == b""
        writer.write(b"rest")
        writer.write_eof()
        assert await rest == b"rest"
        writer.close()


async def test_the_end_of_a_frozen_client_arrives_after_the_data_it_had_sent(
    relay, dial, echo, unit
):
    with relay.freeze_connections(new=True):
        reader, writer = await dial()
        writer.write(b"held")
        writer.write_eof()
        await asyncio.sleep(0.05 * unit)
    assert await reader.read() == b"held"
    assert await echo.endings.get() == "closed"


async def test_a_frozen_connection_carries_nothing_and_is_open(relay, dial, echo, unit):
    connection = await dial()
    assert await answer(connection, b"x", unit) == b"x"
    plan = relay.freeze_connections()
    connection[1].close()
    assert await connection[0].read() == b""
    await asyncio.sleep(0.1 * unit)
    assert echo.endings.empty()
    assert (relay.connections, plan.used) == (1, 1)
    plan.lift()
    assert await echo.endings.get() == "closed"


async def test_data_held_back_by_a_frozen_connection_arrives_after_the_thaw(relay, dial, unit):
    connection = await dial()
    assert await answer(connection, b"x", unit) == b"x"
    with relay.freeze_connections():
        assert await is_idle(connection, b"held", unit)
    assert await connection[0].readexactly(4) == b"held"


async def test_connections_made_after_a_freeze_work(relay, dial, unit):
    old = await dial()
    assert await answer(old, b"x", unit) == b"x"
    relay.freeze_connections()
    assert await answer(await dial(), b"new", unit) == b"new"
    assert await is_idle(old, b"old", unit)


async def test_new_connections_can_be_frozen_too(relay, dial, unit):
    with relay.freeze_connections(new=True) as plan:
        connection = await dial()
        assert await is_idle(connection, b"held", unit)
        assert plan.used == 1
    assert await connection[0].readexactly(4) == b"held"


async def test_a_connection_is_thawed_when_the_last_plan_on_it_is_lifted(relay, dial, unit):
    connection = await dial()
    assert await answer(connection, b"x", unit) == b"x"
    first, second = relay.freeze_connections(), relay.freeze_connections()
    first.lift()
    assert await is_idle(connection, b"held", unit)
    second.lift()
    assert await connection[0].readexactly(4) == b"held"


async def test_a_frozen_connection_can_be_reset(relay, dial, unit):
    connection = await dial()
    assert await answer(connection, b"x", unit) == b"x"
    relay.freeze_connections()
    assert relay.reset_connections() == 1
    with pytest.raises(ConnectionResetError):
        await connection[0].read()


async def test_refused_connections_are_refused_and_open_ones_go_on(relay, dial, unit):
    connection = await dial()
    with relay.refuse_connections():
        with pytest.raises(ConnectionRefusedError):
            await dial()
        assert await answer(connection, b"x", unit) == b"x"
    assert await answer(await dial(), b"y", unit) == b"y"


async def test_connections_are_refused_until_the_last_plan_is_lifted(relay, dial, unit):
    first, second = relay.refuse_connections(), relay.refuse_connections()
    first.lift()
    first.lift()
    with pytest.raises(ConnectionRefusedError):
        await dial()
    second.lift()
    assert await answer(await dial(), b"y", unit) == b"y"


@pytest.mark.parametrize("turns", range(5))
async def test_a_port_that_refused_for_some_turns_of_the_loop_can_be_reached_again(
    relay, dial, turns, unit
):
    for _ in range(3):
        with relay.refuse_connections():
            await take_turns(turns)
        await take_turns(turns)
    assert await answer(await dial(), b"x", unit) == b"x"


@pytest.mark.parametrize("turns", range(5))
async def test_a_relay_can_be_stopped_as_soon_as_it_has_started(echo, turns, unit):
    relay = Relay(echo.target)
    for _ in range(3):
        await relay.start()
        await take_turns(turns)
        await relay.stop()
    async with relay:
        reader, writer = await asyncio.open_connection(relay.host, relay.port)
        assert await answer((reader, writer), b"x", unit) == b"x"
        writer.close()


@pytest.mark.parametrize(
    "target", ["nonsense", "localhost:abc", "localhost:", ":5002", "localhost:0", "localhost:99999"]
)
def test_a_target_is_a_host_and_a_port(target):
    with pytest.raises(ValueError, match=f"target is host:port .*{target}"):
        Relay(target)
    relay = Relay("[::1]:5002")
    with pytest.raises(ValueError, match="target is host:port"):
        relay.target = target
    assert relay.target == "[::1]:5002"


async def test_a_target_that_was_changed_is_that_of_new_connections(relay, dial, echo, unit):
    relay.target = "127.0.0.1:1"
    connection = await dial()
    with pytest.raises(ConnectionResetError):
        await connection[0].read()
    relay.target = echo.target
    assert await answer(await dial(), b"x", unit) == b"x"


async def test_starting_a_relay_twice_does_no_harm(relay, dial, unit):
    port = relay.port
    await asyncio.gather(relay.start(), relay.start())
    assert relay.port == port
    assert await answer(await dial(), b"x", unit) == b"x"


@pytest.mark.parametrize("turns", range(5))
async def test_a_connection_frozen_and_thawed_while_it_is_made_is_made_once(
    relay, dial, echo, turns, unit
):
    connections = []
    for _ in range(10):
        connections.append(await dial())
        for _ in range(5):
            relay.freeze_connections().lift()
            await take_turns(turns)
    for connection in connections:
        assert await answer(connection, b"x", unit) == b"x"
    assert echo.connections == 10
    for _, writer in connections:
        writer.close()
    await until(lambda: not (relay.connections or echo.connections))


@pytest.mark.parametrize("turns", range(5))
async def test_nothing_is_left_of_connections_given_up_while_they_are_made(
    relay, dial, echo, turns
):
    for give_up in (relay.reset_connections, relay.close_connections):
        await dial()
        await take_turns(turns)
        give_up()
    await relay.stop()
    assert relay.connections == 0
    await until(lambda: not echo.connections)


async def test_clear_lifts_what_is_in_force(relay, dial, unit):
    relay.freeze_connections(new=True)
    relay.refuse_connections()
    relay.clear()
    assert await answer(await dial(), b"x", unit) == b"x"


async def test_a_server_that_is_gone_resets_the_connection():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with Relay(f"127.0.0.1:{unused.getsockname()[1]}") as relay:
            reader, writer = await asyncio.open_connection(relay.host, relay.port)
            with pytest.raises(ConnectionResetError):
                await reader.read()
            writer.close()


async def test_stopping_ends_frozen_connections_too(relay, dial, unit):
    connection = await dial()
    assert await answer(connection, b"x", unit) == b"x"
    relay.freeze_connections()
    await relay.stop()
    assert relay.connections == 0
    await asyncio.wait_for(connection[0].read(), 5 * unit)


async def test_a_port_whose_connections_are_refused_is_given_to_no_other_program(relay, dial, unit):
    with relay.refuse_connections():
        with pytest.raises(ConnectionRefusedError):
            await dial()
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind((relay.host, relay.port))
    assert await answer(await dial(), b"x", unit) == b"x"


@pytest.mark.parametrize("relayed", [False, True])
async def test_the_port_of_a_gateway_that_restarts_is_given_to_no_other_program(
    start, stubs_of, relayed, unit
):
    # A port of the gateway's own, because the fixture's is kept by the tests.
    gateway = await start(relay=relayed, port=0)
    restart = asyncio.create_task(gateway.restart(away=3600 * unit))
    await until(lambda: not gateway.running)
    await until(lambda: not can_connect(gateway), "the end of the server")
    await until(lambda: is_taken(gateway), "the reservation")
    await gateway.stop()
    await restart
    await gateway.start()
    assert (await stubs_of(gateway).state.GetState(GET)).key == "k"


def can_connect(gateway):
    """Returns whether the gateway's port accepts a connection."""
    with socket.socket() as probe:
        # Closed by a reset, because a connection that lingers would keep the port taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return probe.connect_ex((gateway.host, gateway.port)) == 0


def is_taken(gateway):
    """Returns whether another socket cannot be bound to the gateway's port."""
    with socket.socket() as other:
        try:
            other.bind((gateway.host, gateway.port))
        except OSError:
            return True
    return False


@pytest.fixture
async def relayed(start):
    return await start(relay=True)


async def test_a_gateway_behind_a_relay_serves_and_can_be_reached_past_it(
    relayed, stubs_of, connect, refused
):
    await stubs_of(relayed).state.GetState(GET)
    assert relayed.network.connections == 1
    assert relayed.direct_target != relayed.target
    direct = connect(relayed.direct_target).unary_unary("/virtufin.State/GetState")
    with relayed.network.refuse_connections():
        relayed.network.reset_connections()
        assert (await refused(stubs_of(relayed).state.GetState(GET))).code() is (
            grpc.StatusCode.UNAVAILABLE
        )
        await direct(GET.SerializeToString())


async def test_reset_lifts_faults_of_the_network(relayed, stubs_of):
    frozen = relayed.network.freeze_connections(new=True)
    await relayed.reset()
    assert frozen.over
    assert (await stubs_of(relayed).state.GetState(GET)).key == "k"


@pytest.mark.parametrize("relay", [False, True])
async def test_a_restarted_gateway_has_its_port_and_its_state(start, stubs_of, relay, unit):
    gateway = await start(relay=relay)
    port = gateway.port
    state = stubs_of(gateway).state
    await state.SaveState(state_pb2.SaveStateRequest(service="workmanager", key="k", value="v"))
    restarting = asyncio.ensure_future(gateway.restart(away=0.3 * unit))
    await asyncio.sleep(0.15 * unit)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    await restarting
    assert gateway.port == port
    assert (await state.GetState(GET, wait_for_ready=True)).value == "v"


async def test_restarting_a_gateway_that_does_not_run_starts_it(stubs_of):
    gateway = Emulator()
    await gateway.restart()
    try:
        assert (await stubs_of(gateway).state.GetState(GET)).key == "k"
    finally:
        await gateway.stop()


@pytest.mark.parametrize("relay", [False, True])
async def test_a_stop_overrules_a_restart(start, stubs_of, relay, unit):
    gateway = await start(relay=relay)
    port = gateway.port
    restarts = [asyncio.ensure_future(gateway.restart(away=1000 * unit)) for _ in range(2)]
    await until(lambda: not gateway.running)
    await gateway.stop()
    await asyncio.wait_for(asyncio.gather(*restarts), 5 * unit)
    assert not gateway.running
    await gateway.start()
    assert gateway.port == port
    await stubs_of(gateway).state.GetState(GET)


async def test_an_overruled_restart_leaves_a_later_start_alone(start, stubs_of, unit):
    gateway = await start()
    restarts = [asyncio.ensure_future(gateway.restart(away=1000 * unit)) for _ in range(2)]
    await take_turns(1)
    await gateway.stop()
    await gateway.start()
    await asyncio.wait_for(asyncio.gather(*restarts), 5 * unit)
    assert gateway.running
    await stubs_of(gateway).state.GetState(GET)


async def test_a_stop_overrules_a_restart_that_has_just_begun(start, unit):
    gateway = await start()
    restart = asyncio.ensure_future(gateway.restart(away=1000 * unit))
    await take_turns(1)
    await gateway.stop()
    await asyncio.wait_for(restart, 5 * unit)
    assert not gateway.running


@pytest.mark.parametrize("relay", [False, True])
async def test_restarts_at_once_all_keep_the_port(start, stubs_of, relay, unit):
    gateway = await start(relay=relay)
    port = gateway.port
    await asyncio.gather(*(gateway.restart(away) for away in (0.05 * unit, 0, 0.01 * unit, 0)))
    assert gateway.port == port
    await stubs_of(gateway).state.GetState(GET)


async def test_a_cancelled_restart_leaves_a_gateway_that_can_be_started(start, stubs_of, unit):
    gateway = await start()
    port = gateway.port
    restart = asyncio.ensure_future(gateway.restart(away=1000 * unit))
    await until(lambda: not gateway.running)
    restart.cancel()
    await asyncio.wait((restart,))
    assert not gateway.running
    await gateway.start()
    assert gateway.port == port
    await stubs_of(gateway).state.GetState(GET)


@pytest.mark.parametrize(("away", "kind"), [(-1, ValueError), ("1", TypeError)])
async def test_the_time_away_is_checked(gateway, away, kind):
    with pytest.raises(kind, match="away"):
        await gateway.restart(away=away)
    assert gateway.running


def test_a_gateway_without_a_relay_says_what_is_needed():
    with pytest.raises(RuntimeError, match="relay=True"):
        _ = Emulator().network


@pytest.mark.parametrize("relay", [1, None, "yes"])
def test_relay_is_a_switch(relay):
    with pytest.raises(TypeError, match="relay is True or False"):
        Emulator(relay=relay)
