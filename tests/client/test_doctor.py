"""The doctor says whether this client can work with a gateway, and what stands in the way."""

import asyncio
import json
import shlex
import socket
import subprocess
import sys

import grpc.aio
import pytest
import trustme

from tests.client.conftest import UNIT
from tests.layouts import make_emulator, without
from virtufin.api.client import (
    ApiClient,
    ClientClosedError,
    InvalidInputError,
    Outcome,
    TlsSettings,
    Wire,
)
from virtufin.api.client.doctor import __main__ as command
from virtufin.api.client.doctor import diagnose

REFLECTION = "grpc.reflection.v1.ServerReflection/ServerReflectionInfo"


@pytest.fixture
async def look():
    """Diagnoses a gateway with these options: `report = await look(wire="earlier")`."""

    async def diagnosed(*, settings=None, **options):
        async with make_emulator(**{"wire": "current", **options}) as gateway:
            settings = {"timeout": 10 * UNIT, **(settings or {})}
            return await diagnose(gateway.host, gateway.port, **settings)

    return diagnosed


def found(report, name):
    """The checks of that name, as outcome and text with advice."""
    return [
        (check.outcome, f"{check.text} {check.advice}")
        for check in report.checks
        if check.name == name
    ]


def outcomes(report):
    return {check.name: check.outcome.value for check in report.checks}


async def test_all_is_well(look):
    report = await look()
    assert report.ok
    assert outcomes(report) == dict.fromkeys(
        (
            "reachability",
            "health",
            "TLS",
            "authentication",
            "services",
            "reflection",
            "wire",
            "round trip",
        ),
        "ok",
    )
    assert str(report).endswith("This client can work there.")


async def test_changed_field_numbers_are_named_and_no_hindrance(look):
    report = await look(wire="moved-numbers")
    assert report.ok
    differences = found(report, "difference")
    text = "virtufin.GetStateResponse.value: number 2 in the packaged protos, number 3 there"
    assert any(one[0] is Outcome.WARNING and text in one[1] for one in differences)


async def test_a_missing_method_is_named_and_a_hindrance(look):
    report = await look(wire=without(Wire.packaged(), "State.QueryState"))
    assert not report.ok
    ((outcome, text),) = found(report, "difference")
    assert outcome is Outcome.FAILED
    assert "virtufin.State.QueryState: the gateway lacks it" in text


async def test_a_missing_method_that_the_client_replaces_is_no_hindrance(look):
    report = await look(legacy_state=False)
    assert report.ok
    assert len(found(report, "difference")) == 2


async def test_a_missing_field_is_named(look):
    report = await look(wire=without(Wire.packaged(), "SaveStateRequest.publish_change"))
    assert report.ok
    ((outcome, text),) = found(report, "difference")
    assert outcome is Outcome.WARNING
    assert "SaveStateRequest.publish_change" in text


async def test_the_earlier_generation_is_named(look):
    report = await look(wire="earlier")
    assert report.ok
    ((outcome, text),) = found(report, "wire")
    assert outcome is Outcome.WARNING
    assert "earlier generation" in text


async def test_a_wrong_key_is_named(look):
    report = await look(api_keys=["right"], settings={"api_key": "wrong"})
    assert not report.ok
    ((outcome, text),) = found(report, "authentication")
    assert outcome is Outcome.FAILED
    assert "not accepted" in text
    assert found(report, "round trip")[0][0] is Outcome.SKIPPED


async def test_a_missing_key_is_named(look):
    report = await look(api_keys=["right"])
    assert "is needed" in found(report, "authentication")[0][1]


async def test_no_reflection_is_named_and_no_hindrance(look):
    report = await look(reflection=False)
    assert report.ok
    assert found(report, "reflection")[0][0] is Outcome.WARNING
    assert found(report, "wire")[0][0] is Outcome.SKIPPED


async def test_no_gateway_is_named(unused_port):
    report = await diagnose("127.0.0.1", unused_port, timeout=10 * UNIT)
    assert not report.ok
    ((outcome, text),) = found(report, "reachability")
    assert outcome is Outcome.FAILED
    assert "nothing listens there" in text
    assert outcomes(report)["round trip"] == "skipped"


async def test_a_key_that_is_not_available_is_named(gateway):
    def key():
        raise RuntimeError("no vault")

    report = await diagnose(gateway.host, gateway.port, api_key=key, timeout=10 * UNIT)
    ((outcome, text),) = found(report, "reachability")
    assert outcome is Outcome.FAILED
    assert "vault" in text


async def test_something_that_does_not_answer_is_named():
    with socket.create_server(("127.0.0.1", 0)) as stalled:
        report = await diagnose("127.0.0.1", stalled.getsockname()[1], timeout=1 * UNIT)
    ((outcome, text),) = found(report, "reachability")
    assert outcome is Outcome.FAILED
    assert "no answer within" in text


async def test_an_http_server_is_named():
    async def answer(reader, writer):
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        report = await diagnose("127.0.0.1", port, timeout=10 * UNIT)
    assert found(report, "reachability")[0][0] is Outcome.FAILED


async def test_tls_to_a_gateway_without_tls_is_named(look):
    report = await look(settings={"tls": TlsSettings(ca=trustme.CA().cert_pem.bytes())})
    assert not report.ok
    assert "TLS does not fit" in found(report, "reachability")[0][1]


async def test_a_server_that_is_no_gateway_is_named(scripted):
    report = await diagnose(scripted.host, scripted.port, timeout=10 * UNIT)
    ((outcome, text),) = found(report, "gateway")
    assert outcome is Outcome.FAILED
    assert "no gateway" in text


async def test_an_event_that_does_not_come_back_is_named(gateway):
    gateway.faults.stall(times=None)
    report = await diagnose(gateway.host, gateway.port, timeout=1 * UNIT)
    ((outcome, text),) = found(report, "round trip")
    assert outcome is Outcome.FAILED
    assert "did not come back" in text


async def test_a_round_trip_that_is_not_allowed_is_skipped(gateway):
    gateway.faults.fail("Pubsub/PublishEvent", "PERMISSION_DENIED", times=None)
    report = await diagnose(gateway.host, gateway.port, timeout=10 * UNIT)
    assert found(report, "round trip")[0][0] is Outcome.SKIPPED
    assert report.ok


async def test_no_event_is_published_if_that_is_switched_off(gateway):
    published = gateway.faults.delay("Pubsub/PublishEvent", 0.001, times=None)
    report = await diagnose(gateway.host, gateway.port, publish=False)
    assert published.used == 0
    assert found(report, "round trip") == [(Outcome.SKIPPED, "not asked for ")]


async def test_a_client_diagnoses_its_own_gateway(connect):
    async with make_emulator(wire="current") as gateway:
        report = await connect(gateway, wire="packaged").diagnose(timeout=10 * UNIT)
    assert found(report, "reflection")[0][0] is Outcome.SKIPPED
    assert report.ok


async def test_a_setting_that_cannot_be_used_is_refused(client):
    with pytest.raises(InvalidInputError):
        await client.diagnose(timeout=0)
    with pytest.raises(InvalidInputError):
        await client.diagnose(topic="")


async def test_a_given_channel_is_diagnosed_too(gateway):
    async with (
        grpc.aio.insecure_channel(gateway.target) as channel,
        ApiClient(channel=channel) as client,
    ):
        report = await client.diagnose(timeout=10 * UNIT)
    assert report.ok
    assert found(report, "TLS")[0][0] is Outcome.SKIPPED


async def test_a_closed_client_diagnoses_nothing(gateway, connect):
    client = connect(gateway)
    await client.close()
    with pytest.raises(ClientClosedError):
        await client.diagnose()
    with pytest.raises(ClientClosedError):
        await client.gateway.workmanager.describe()


async def test_a_slow_reflection_is_waited_for(gateway):
    gateway.faults.delay(REFLECTION, 0.3 * UNIT, times=None)
    settings = {"timeout": 0.2 * UNIT, "reflection_timeout": 10 * UNIT}
    report = await diagnose(gateway.host, gateway.port, **settings)
    assert outcomes(report)["reflection"] == "ok"


async def test_a_reflection_that_does_not_answer_is_named():
    settings = {"timeout": 5 * UNIT, "reflection_timeout": 0.2 * UNIT}
    async with make_emulator(wire="current") as gateway:
        gateway.faults.delay(REFLECTION, 3600, times=None)
        report = await diagnose(gateway.host, gateway.port, **settings)
    assert outcomes(report)["reflection"] == "warning"
    assert outcomes(report)["wire"] == "skipped"
    assert report.ok


async def test_each_difference_is_named_once(look):
    report = await look(wire="moved-numbers")
    texts = [check.text for check in report.checks]
    assert len(texts) == len(set(texts))


# The command


def test_a_reader_that_has_seen_enough_is_no_failure():
    ran = subprocess.run(
        [
            "/bin/sh",
            "-c",
            f"{shlex.quote(sys.executable)} -m virtufin.api.client.doctor memory: | true",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.stderr == ""


def test_the_command_prints_a_table(capsys):
    assert command.main(["memory:"]) == 0
    assert "round trip      ok" in capsys.readouterr().out


def test_the_command_prints_json(capsys):
    assert command.main(["memory:", "--json", "--no-publish"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is True
    outcomes = {check["name"]: check["outcome"] for check in report["checks"]}
    assert (outcomes["reachability"], outcomes["round trip"]) == ("ok", "skipped")


def test_the_exit_code_says_that_this_client_cannot_work_there(unused_port):
    ran = subprocess.run(
        [sys.executable, "-m", "virtufin.api.client.doctor", f"127.0.0.1:{unused_port}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 1
    assert "cannot work there" in ran.stdout
    assert ran.stderr == ""


@pytest.mark.parametrize("arguments", [["http://x"], ["memory:", "--timeout", "0"], ["a b:5"]])
def test_a_wrong_command_is_refused(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        command.main(arguments)
    assert caught.value.code == 2
    assert "error:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("target", "address"),
    [
        (None, ()),
        ("gateway", ("gateway",)),
        ("gateway:5002", ("gateway", 5002)),
        ("[::1]:5002", ("[::1]", 5002)),
        ("::1", ("::1",)),
        ("ipv6:[::1]:5002", ("ipv6:[::1]:5002",)),
        ("dns:///gateway:5002", ("dns:///gateway:5002",)),
        ("unix:/run/gateway", ("unix:/run/gateway",)),
    ],
)
def test_addresses_are_taken_in_each_form(target, address):
    assert command._address(target) == address
