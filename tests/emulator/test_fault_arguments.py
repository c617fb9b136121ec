"""Arguments that a fault plan refuses, in process and through the control service alike."""

import json

import pytest

from virtufin.api.emulator import Emulator

# Private, because the public limit of remembered plans is reached only after thousands of them.
from virtufin.api.emulator._process.control_server import ControlServer, PlanRegistry
from virtufin.api.protos import state_pb2

PLAN = {"action": "fail", "method": "State/GetState", "code": "INTERNAL"}


@pytest.fixture(params=["in process", "remote"])
def faults(request):
    if request.param == "remote":
        return request.getfixturevalue("virtufin_emulator").faults
    return Emulator().faults


@pytest.mark.parametrize("times", [1.5, 1.0, True, "2"])
def test_times_is_a_whole_number(faults, times):
    with pytest.raises(TypeError, match=f"times is a whole number, got {times!r}"):
        faults.fail("*", "INTERNAL", times=times)


@pytest.mark.parametrize("times", [0, -1])
def test_times_is_one_or_more(faults, times):
    with pytest.raises(ValueError, match=f"times is a whole number from 1 .*, got {times}"):
        faults.fail("*", "INTERNAL", times=times)


@pytest.mark.parametrize("method", [5, None, b"*", ["State/GetState"], object()])
def test_the_method_is_text(faults, method):
    with pytest.raises(TypeError, match="method is text"):
        faults.fail(method, "INTERNAL")


@pytest.mark.parametrize("code", [13, None, b"INTERNAL", [], object()])
def test_the_code_is_a_status_or_its_name(faults, code):
    with pytest.raises(TypeError, match=r"code is a grpc\.StatusCode or its name"):
        faults.fail("*", code)
    with pytest.raises(TypeError, match=r"code is a grpc\.StatusCode or its name"):
        faults.cut_streams(code)


@pytest.mark.parametrize("details", [5, None, b"x", object()])
def test_the_details_are_text(faults, details):
    with pytest.raises(TypeError, match="details is text"):
        faults.fail("*", "INTERNAL", details=details)
    with pytest.raises(TypeError, match="details is text"):
        faults.cut_streams(details=details)


def test_details_that_cannot_be_sent_are_refused(faults):
    with pytest.raises(ValueError, match="lone surrogates"):
        faults.fail("*", "INTERNAL", details="\ud800")


@pytest.mark.parametrize("seconds", [0, -1.0, float("nan"), float("inf")])
def test_a_delay_is_above_zero(faults, seconds):
    for plan in (lambda: faults.delay("*", seconds), lambda: faults.slow_writes(seconds)):
        with pytest.raises(ValueError, match="seconds is a number of seconds above 0"):
            plan()


@pytest.mark.parametrize("seconds", ["1", None, True])
def test_a_delay_is_a_number(faults, seconds):
    for plan in (lambda: faults.delay("*", seconds), lambda: faults.slow_writes(seconds)):
        with pytest.raises(TypeError, match="seconds is a number of seconds"):
            plan()


def test_a_count_of_events_is_zero_or_more(faults):
    plans = (
        lambda: faults.cut_after(-1),
        lambda: faults.stall(after=-1),
        lambda: faults.fail_write(after=-1),
    )
    for plan in plans:
        with pytest.raises(ValueError, match="after is a whole number from 0"):
            plan()


def test_a_topic_is_text_and_not_empty(faults):
    with pytest.raises(TypeError, match="topic is text"):
        faults.stall(topic=5)
    with pytest.raises(ValueError, match="topic must not be empty"):
        faults.cut_streams(topic="")


def test_a_topic_goes_with_publishing_and_subscribing_only(faults):
    with pytest.raises(ValueError, match="topic goes with Pubsub/PublishEvent"):
        faults.fail("State/GetState", "INTERNAL", topic="t")


def test_a_failed_write_is_a_failure(faults):
    with pytest.raises(ValueError, match="OK is no failure"):
        faults.fail_write("OK")


@pytest.mark.parametrize(
    ("wrong", "named"),
    [({"times": 1.5}, "times"), ({"method": 5}, "method"), ({"code": 13}, "code")],
)
def test_the_control_service_checks_the_types_itself(virtufin_emulator, wrong, named):
    with pytest.raises(TypeError, match=named):
        virtufin_emulator.control.do("add", **{**PLAN, **wrong})


def test_the_control_service_checks_the_values_itself(virtufin_emulator):
    with pytest.raises(ValueError, match="times"):
        virtufin_emulator.control.do("add", **PLAN, times=0)


@pytest.mark.parametrize("request_data", [b"[]", b"5", b"{", b"\xff"])
async def test_the_control_service_answers_what_is_no_request(connect, request_data):
    control = ControlServer(Emulator())
    try:
        call = connect(f"127.0.0.1:{await control.start(0)}")
        reply = await call.unary_unary("/virtufin.emulator.Control/Do")(request_data)
    finally:
        await control.stop()
    assert set(json.loads(reply)) == {"error", "kind"}


def test_plans_that_are_over_are_soon_forgotten():
    faults, plans = Emulator().faults, PlanRegistry(remembered=3)
    kept = plans.add(faults.fail("*", "INTERNAL", times=None))
    for _ in range(10):
        plans.lift(last := plans.add(faults.fail("*", "INTERNAL")))
    assert len(plans) == 5
    assert plans.used(kept) == plans.used(last) == plans.used(last - 1) == 0
    plans.lift(2)
    with pytest.raises(ValueError, match="no plan 2"):
        plans.used(2)
    with pytest.raises(ValueError, match="no plan 12"):
        plans.lift(12)


async def test_a_plan_that_is_over_still_says_what_it_used(gateway, stubs):
    plans = PlanRegistry()
    number = plans.add(gateway.faults.delay("State/GetState", 0.001))
    await stubs.state.GetState(state_pb2.GetStateRequest(service="workmanager", key="k"))
    plans.add(gateway.faults.stall())
    assert plans.used(number) == 1


async def test_a_refused_plan_fails_no_call(gateway, stubs):
    with pytest.raises(TypeError):
        gateway.faults.fail("*", "INTERNAL", times=1.5)
    await stubs.state.GetState(state_pb2.GetStateRequest(service="workmanager", key="k"))
