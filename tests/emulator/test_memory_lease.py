"""Emulators behind the `memory:` target."""

import asyncio
import errno
import socket
import subprocess
import sys

import pytest

# Private, because the client takes its leases here, and hides when an emulator ends.
from virtufin.api.emulator import _memory
from virtufin.api.protos import gateway_pb2, gateway_pb2_grpc


@pytest.fixture
def answers(connect):
    async def ask(target):
        stub = gateway_pb2_grpc.GatewayStub(connect(target))
        return (
            "workmanager"
            in (
                await stub.ListServices(gateway_pb2.ListServicesRequest(), wait_for_ready=False)
            ).services
        )

    return ask


async def test_a_leased_emulator_answers_until_it_is_given_back(answers, refused):
    lease = await _memory.lease("")
    assert await answers(lease.target)
    await lease.release()
    await refused(answers(lease.target))


async def test_leases_without_name_are_private():
    first, second = await _memory.lease(""), await _memory.lease("")
    assert first.target != second.target
    await first.release()
    await second.release()


async def test_leases_of_one_name_share_an_emulator_even_if_taken_at_once():
    leases = await asyncio.gather(*(_memory.lease("shared") for _ in range(10)))
    assert len({lease.target for lease in leases}) == 1
    for lease in leases:
        await lease.release()


async def test_the_last_release_stops_it(answers, refused):
    first, second = await _memory.lease("shared"), await _memory.lease("shared")
    await first.release()
    await first.release()
    assert await answers(second.target)
    await second.release()
    await refused(answers(second.target))
    assert not _memory._shared


async def test_a_name_given_back_can_be_leased_again(answers):
    await (await _memory.lease("shared")).release()
    again = await _memory.lease("shared")
    assert await answers(again.target)
    await again.release()


async def test_the_cancellation_of_a_waiter_does_not_touch_the_others(answers):
    impatient = asyncio.ensure_future(_memory.lease("shared"))
    patient = asyncio.ensure_future(_memory.lease("shared"))
    await asyncio.sleep(0)
    impatient.cancel()
    lease = await patient
    assert await answers(lease.target)
    await lease.release()
    assert not _memory._shared


async def test_cancelling_the_only_waiter_leaves_nothing(unit):
    waiter = asyncio.ensure_future(_memory.lease("shared"))
    await asyncio.sleep(0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert not _memory._shared


async def test_a_failed_start_reaches_every_waiter(monkeypatch):
    def bind(sock, where):
        raise PermissionError(errno.EACCES, "no port left")

    monkeypatch.setattr(socket.socket, "bind", bind)
    leases = (_memory.lease("shared") for _ in range(3))
    outcomes = await asyncio.gather(*leases, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [PermissionError] * 3
    assert not _memory._shared


LEFT_OPEN = """
import asyncio
from virtufin.api.emulator import _memory

async def main():
    host, _, port = (await _memory.lease("shared")).target.rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.close()

# Each loop has an emulator that answers. Their ports are not compared, as one may be given twice.
asyncio.run(main())
asyncio.run(main())
assert not _memory._shared

loop = asyncio.new_event_loop()
loop.run_until_complete(main())
task = asyncio.all_tasks(loop).pop()
loop.close()
assert len(_memory._shared) == 1
asyncio.run(main())
assert not _memory._shared
"""


def test_emulators_never_given_back_end_with_their_loop():
    done = subprocess.run(
        [sys.executable, "-c", LEFT_OPEN], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
