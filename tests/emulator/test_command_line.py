"""The command virtufin-emulator, run as a process."""

import asyncio
import os
import signal
import sys

import grpc
import pytest

from tests.reflection import V1
from virtufin.api.protos import gateway_pb2, gateway_pb2_grpc, state_pb2, state_pb2_grpc

pytestmark = pytest.mark.slow  # a process for each test


@pytest.fixture
async def run():
    """Starts the command; what still runs after the test is ended."""
    processes = []

    async def start(*arguments, **environment):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "virtufin.api.emulator",
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **environment},
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


@pytest.fixture
def listening(run, unit):
    """Starts the command on a free port and returns the process and its address."""

    async def start(*arguments, **environment):
        process = await run("--port", "0", *arguments, **environment)
        line = (await asyncio.wait_for(process.stdout.readline(), 20 * unit)).decode()
        assert line.startswith("listening on 127.0.0.1:")
        return process, line.split()[-1]

    return start


async def list_services(channel, key=None):
    metadata = [("x-api-key", key)] if key else []
    stub = gateway_pb2_grpc.GatewayStub(channel)
    return list(
        (await stub.ListServices(gateway_pb2.ListServicesRequest(), metadata=metadata)).services
    )


async def test_the_command_prints_its_address_and_serves(listening, connect):
    _, target = await listening()
    assert await list_services(connect(target)) == ["workmanager", "websocketmanager"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_command_ends_cleanly_on_a_signal(listening, connect, number):
    process, target = await listening()
    await list_services(connect(target))
    process.send_signal(number)
    out, err = await process.communicate()
    assert (process.returncode, out, err) == (0, b"", b"")


async def test_a_taken_port_is_one_line_and_exit_code_1(gateway, run):
    process = await run("--port", str(gateway.port))
    out, err = await process.communicate()
    assert process.returncode == 1
    assert out == b""
    (line,) = err.decode().splitlines()
    assert line.startswith("virtufin-emulator: error:")
    assert "taken" in line


async def test_bad_services_are_one_line_and_exit_code_2(run, tmp_path):
    path = tmp_path / "services.toml"
    path.write_text("[[service]]\nname = 'a'")
    process = await run("--services", str(path))
    _, err = await process.communicate()
    assert process.returncode == 2
    (line,) = err.decode().splitlines()
    assert "services.toml: a service needs an address" in line


async def test_a_taken_control_port_is_exit_code_1(gateway, run):
    process = await run("--port", "0", "--control-port", str(gateway.port))
    _, err = await process.communicate()
    assert process.returncode == 1
    assert b"taken" in err


@pytest.mark.parametrize("port", ["x", "-1", "65536"])
async def test_a_wrong_port_is_exit_code_2(run, port):
    process = await run("--port", port)
    _, err = await process.communicate()
    assert process.returncode == 2
    assert b"no port number" in err or b"expected one argument" in err


async def test_keys_can_be_given(listening, connect, refused):
    _, target = await listening("--api-key", "a", "--api-key", "b")
    channel = connect(target)
    assert await list_services(channel, "b")
    assert (await refused(list_services(channel))).code() is grpc.StatusCode.UNAUTHENTICATED


async def test_keys_can_come_from_the_environment(listening, connect, refused):
    _, target = await listening(VIRTUFIN_EMULATOR_API_KEYS="a, b,")
    channel = connect(target)
    assert await list_services(channel, "b")
    assert (await refused(list_services(channel))).code() is grpc.StatusCode.UNAUTHENTICATED


async def test_services_and_switches_are_taken(listening, connect, probe, tmp_path, refused):
    path = tmp_path / "services.toml"
    path.write_text(f"[[service]]\nname = 'probe'\naddress = '{probe.address}'")
    _, target = await listening(
        "--services",
        str(path),
        "--json-names",
        "proto",
        "--accept-any-service",
        "--no-legacy-state",
    )
    channel = connect(target)
    stub = gateway_pb2_grpc.GatewayStub(channel)
    request = gateway_pb2.InvokeJsonRequest(
        service="probe", method="Echo", request_data='{"someText": "x"}'
    )
    assert (await stub.InvokeJson(request)).response_data == '{"some_text": "x"}'
    state = state_pb2_grpc.StateStub(channel)
    await state.SaveState(state_pb2.SaveStateRequest(service="any", key="k"))
    legacy = state.GetAllState(state_pb2.GetAllStateRequest(service="any"))
    assert (await refused(legacy)).code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_wire_with_heartbeats_can_be_chosen(listening, connect, unit):
    options = ("--wire", "earlier", "--heartbeat", str(0.05 * unit))
    _, target = await listening(*options)
    stream = connect(target).unary_stream("/virtufin.Gateway/Subscribe")(b"")
    assert await asyncio.wait_for(stream.read(), 5 * unit) == b""


async def test_heartbeats_need_the_wire_that_has_them(run):
    process = await run("--heartbeat", "1")
    _, err = await process.communicate()
    assert process.returncode == 2
    assert b"heartbeat needs wire='earlier'" in err


async def test_an_unknown_wire_is_refused_with_a_list_of_the_wires(run):
    process = await run("--wire", "later")
    _, err = await process.communicate()
    assert process.returncode == 2
    assert b"moved-numbers" in err


async def test_reflection_can_be_turned_off(listening, connect, refused):
    _, target = await listening("--no-reflection")
    call = connect(target).unary_stream(f"/{V1}/ServerReflectionInfo")(b"")
    assert (await refused(call.read())).code() is grpc.StatusCode.UNIMPLEMENTED


async def test_help_shows_examples_and_the_environment(run):
    process = await run("--help")
    out, _ = await process.communicate()
    assert process.returncode == 0
    for text in (
        "examples:",
        "VIRTUFIN_EMULATOR_API_KEYS",
        "[[service]]",
        "workmanager",
        "listening on",
    ):
        assert text in out.decode()
    assert "--piped" not in out.decode()
