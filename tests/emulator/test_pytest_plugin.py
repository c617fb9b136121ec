"""The fixtures of the distribution."""

import asyncio
import os
import signal
import subprocess
import sys
import time

import grpc
import pytest

from tests.timing import UNIT
from virtufin.api.emulator import InvocationPolicy, Service
from virtufin.api.protos import (
    cloudevents_pb2,
    gateway_pb2,
    gateway_pb2_grpc,
    pubsub_pb2,
    state_pb2,
    state_pb2_grpc,
)

pytestmark = pytest.mark.slow

GET = state_pb2.GetStateRequest(service="workmanager", key="k")


async def test_the_fixture_is_a_gateway(virtufin_emulator, connect):
    assert virtufin_emulator.target == f"{virtufin_emulator.host}:{virtufin_emulator.port}"
    stub = gateway_pb2_grpc.GatewayStub(connect(virtufin_emulator.target))
    assert (await stub.ListServices(gateway_pb2.ListServicesRequest())).services


async def test_the_gateway_is_a_process_of_its_own(virtufin_emulator):
    assert virtufin_emulator.pid != os.getpid()
    assert str(virtufin_emulator.pid) in repr(virtufin_emulator)


async def test_its_faults_have_the_same_verbs(virtufin_emulator, stubs_of, refused):
    state = stubs_of(virtufin_emulator).state
    virtufin_emulator.faults.fail("State/GetState", grpc.StatusCode.ABORTED, times=2, details="x")
    error = await refused(state.GetState(GET))
    assert (error.code(), error.details()) == (grpc.StatusCode.ABORTED, "x")
    virtufin_emulator.faults.clear()
    await state.GetState(GET)
    assert virtufin_emulator.faults.cut_streams("DATA_LOSS") == 0
    assert virtufin_emulator.faults.open_streams == 0


@pytest.mark.parametrize(
    ("arguments", "named"), [(("State/GetStat", "ABORTED"), "State/GetState"), (("*", "X"), "'X'")]
)
async def test_a_plan_that_makes_no_sense_is_a_value_error(virtufin_emulator, arguments, named):
    with pytest.raises(ValueError, match=named):
        virtufin_emulator.faults.fail(*arguments)


async def test_an_unknown_verb_is_a_value_error(virtufin_emulator):
    with pytest.raises(ValueError, match="dance"):
        virtufin_emulator.control.do("dance")


async def test_an_unknown_plan_is_a_value_error(virtufin_emulator):
    with pytest.raises(ValueError, match="no plan 0"):
        virtufin_emulator.control.do("lift", plan=0)


def test_a_plan_that_is_over_can_be_lifted_and_says_what_it_used(virtufin_emulator):
    faults = virtufin_emulator.faults
    plan = faults.fail("State/GetState", "ABORTED")
    for _ in range(2):
        plan.lift()
        faults.fail("State/GetState", "ABORTED").lift()
    assert plan.used == 0


def test_all_plans_on_connections_can_be_lifted(virtufin_emulator):
    network = virtufin_emulator.network
    network.refuse_connections()
    network.freeze_connections(new=True)
    network.clear()
    with grpc.insecure_channel(virtufin_emulator.target) as channel:
        stub = gateway_pb2_grpc.GatewayStub(channel)
        assert stub.ListServices(gateway_pb2.ListServicesRequest(), timeout=30 * UNIT).services


@pytest.fixture
def dead(virtufin_emulator_factory):
    """A gateway whose process was killed, and a plan of it."""
    gateway = virtufin_emulator_factory(relay=True)
    plan = gateway.faults.fail("*", "ABORTED")
    os.kill(gateway.pid, signal.SIGKILL)
    os.waitid(os.P_PID, gateway.pid, os.WEXITED | os.WNOWAIT)
    return gateway, plan


def questions(gateway, plan):
    return (
        plan.lift,
        lambda: plan.used,
        gateway.faults.clear,
        lambda: gateway.network.connections,
        gateway.reset,
        gateway.restart,
    )


def test_a_process_that_was_killed_is_a_connection_error(dead):
    for question in questions(*dead):
        with pytest.raises(ConnectionError, match=f"process {dead[0].pid} does not answer"):
            question()


def test_a_process_that_was_stopped_is_a_connection_error(dead):
    dead[0].stop()
    for question in questions(*dead):
        with pytest.raises(ConnectionError, match=f"process {dead[0].pid} was stopped"):
            question()


def test_the_end_of_a_plan_that_cannot_be_lifted_leaves_other_errors_alone(dead):
    with pytest.raises(KeyError), dead[1]:
        raise KeyError
    with pytest.raises(ConnectionError), dead[1]:
        pass


def test_the_shared_gateway_has_a_relay(virtufin_emulator):
    with virtufin_emulator.network.freeze_connections():
        assert virtufin_emulator.network.connections >= 0


async def test_streams_and_connections_can_be_broken_from_another_process(
    virtufin_emulator_factory, stubs_of, refused, unit
):
    gateway = virtufin_emulator_factory(relay=True)
    stream = stubs_of(gateway).pubsub.Subscribe(pubsub_pb2.SubscribeRequest(topics=["t"]))
    await stream.initial_metadata()
    plan = gateway.faults.cut_after(1, "DATA_LOSS", topic="t")
    other = stubs_of(gateway).pubsub
    event = cloudevents_pb2.CloudEvent(id="1")
    await other.PublishEvent(pubsub_pb2.PublishRequest(topic="t", cloudevent=event))
    assert (await stream.read()).cloudevent.id == "1"
    assert (await refused(stream.read())).code() is grpc.StatusCode.DATA_LOSS
    assert plan.used == 1
    assert gateway.network.connections == 2
    with gateway.network.freeze_connections() as frozen:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(other.PublishEvent(pubsub_pb2.PublishRequest()), 0.2 * unit)
        assert frozen.used == 2
    assert gateway.network.reset_connections() == 2
    with gateway.network.refuse_connections():
        error = await refused(stubs_of(gateway).state.GetState(GET))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert gateway.network.close_connections() >= 0


async def test_the_gateway_can_be_restarted_on_its_port(virtufin_emulator, stubs_of, unit):
    gateway = virtufin_emulator
    port = gateway.port
    state = stubs_of(gateway).state
    save = state_pb2.SaveStateRequest(service="workmanager", key="k", value="v")
    await state.SaveState(save)
    await asyncio.to_thread(gateway.restart, away=0.1 * unit)
    assert gateway.port == port
    assert (await state.GetState(GET, wait_for_ready=True)).value == "v"
    with pytest.raises(ValueError, match="away"):
        gateway.restart(away=-1)


def test_a_gateway_without_relay_says_that_network_faults_need_one(virtufin_emulator_factory):
    with pytest.raises(RuntimeError, match="relay=True"):
        virtufin_emulator_factory().network.reset_connections()


@pytest.mark.parametrize("turn", [1, 2])
async def test_each_test_finds_it_as_new(virtufin_emulator, connect, turn):
    state = state_pb2_grpc.StateStub(connect(virtufin_emulator.target))
    assert not (await state.GetState(GET)).etag
    await state.SaveState(state_pb2.SaveStateRequest(service="workmanager", key="k", value="v"))
    virtufin_emulator.faults.fail("*", "INTERNAL", times=100)


async def test_further_gateways_take_the_emulator_s_arguments(
    virtufin_emulator_factory, probe, stubs_of, refused
):
    gateway = virtufin_emulator_factory(
        api_keys=["key"],
        services=[Service("probe", probe.address)],
        invocation=InvocationPolicy(retries=0),
    )
    stub = stubs_of(gateway).gateway
    request = gateway_pb2.ListServicesRequest()
    assert list((await stub.ListServices(request, metadata=[("x-api-key", "key")])).services) == [
        "probe"
    ]
    assert (await refused(stub.ListServices(request))).code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_wrong_argument_says_what_is_wrong(virtufin_emulator_factory):
    with pytest.raises(RuntimeError, match="json_names"):
        virtufin_emulator_factory(json_names="snake")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"api_keys": "key"}, "api_keys is an iterable"),
        ({"services": [("a", "x:1")]}, "services are Service objects"),
        ({"invocation": 5}, "invocation is an InvocationPolicy"),
        ({"host": b"127.0.0.1"}, "host cannot be handed over"),
    ],
)
def test_an_option_that_cannot_be_sent_to_the_process_is_a_type_error(
    virtufin_emulator_factory, options, named
):
    with pytest.raises(TypeError, match=named):
        virtufin_emulator_factory(**options)


def test_a_taken_port_says_so(virtufin_emulator_factory):
    port = virtufin_emulator_factory().port
    with pytest.raises(RuntimeError, match="taken"):
        virtufin_emulator_factory(port=port)


def test_stopping_twice_does_no_harm(virtufin_emulator_factory):
    gateway = virtufin_emulator_factory()
    gateway.stop()
    gateway.stop()
    assert not alive(gateway.pid)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


SUITE = """
import os, signal, time

def test_one(virtufin_emulator, virtufin_emulator_factory):
    print("pid", virtufin_emulator.pid, virtufin_emulator_factory().pid, flush=True)
    if "SLEEP" in os.environ:
        time.sleep(60)
"""

# Whatever runs these tests in the background may have had SIGINT ignored.
RUN = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
import pytest
sys.exit(pytest.main())
"""


@pytest.fixture
def pytest_run(tmp_path):
    """Runs a suite that uses the fixtures; returns the run and the processes it has started."""
    (tmp_path / "test_suite.py").write_text(SUITE)

    def start(**environment):
        run = subprocess.Popen(
            [
                *(sys.executable, "-c", RUN, "-s", "-p", "no:cacheprovider"),
                *("-c", os.devnull, "--rootdir", str(tmp_path), str(tmp_path)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **environment},
        )
        runs.append(run)
        for line in run.stdout:
            if "pid" in line.split():
                return run, [int(word) for word in line.split()[-2:]]
        raise AssertionError("the suite printed nothing")

    runs = []
    yield start
    for run in runs:
        if run.poll() is None:
            run.kill()
        run.wait()
        run.stdout.close()


def gone(pids, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not any(alive(pid) for pid in pids):
            return True
        time.sleep(0.01)
    return False


def test_the_processes_end_with_the_session(pytest_run, unit):
    run, pids = pytest_run()
    assert run.wait(20 * unit) == 0
    assert gone(pids, 5 * unit)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_processes_end_with_an_interrupted_run(pytest_run, unit, number):
    run, pids = pytest_run(SLEEP="1")
    assert all(alive(pid) for pid in pids)
    run.send_signal(number)
    run.wait(20 * unit)
    assert gone(pids, 5 * unit)
