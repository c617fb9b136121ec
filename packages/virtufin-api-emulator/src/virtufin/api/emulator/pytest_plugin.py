"""Fixtures for tests against an emulated gateway; pytest finds them by itself.

The fixtures are synchronous and the emulator is a process of its own, because a gRPC server and
client in two event loops of one process disturb each other, and test frameworks give each test a
loop. To have it in the test's own loop use `async with Emulator()`.

Example:
    ```python
    async def test_services(virtufin_emulator):
        gateway = virtufin_emulator
        async with ApiClient(host=gateway.host, grpc_port=gateway.port) as client:
            assert "workmanager" in await client.list_services_async()
    ```
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

# Nothing of grpc up here: pytest imports this module in every run.
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from virtufin.api.emulator._process.process import EmulatorProcess


@pytest.fixture(scope="session")
def _virtufin_emulator_process() -> Iterator[EmulatorProcess]:
    from virtufin.api.emulator._process.process import EmulatorProcess

    with EmulatorProcess(relay=True) as process:
        yield process


@pytest.fixture
def virtufin_emulator(_virtufin_emulator_process: EmulatorProcess) -> EmulatorProcess:
    """A gateway with `host`, `port`, `target`, `faults`, `network`, `reset()` and `restart()`.

    One process for the whole session; state, faults, registered keys and the samples are as new
    for each test.
    """
    _virtufin_emulator_process.reset()
    return _virtufin_emulator_process


@pytest.fixture
def virtufin_emulator_factory() -> Iterator[Callable[..., EmulatorProcess]]:
    """Starts further gateways, each a process; takes the arguments of `Emulator`.

    They are ended after the test.
    """
    from virtufin.api.emulator._process.process import EmulatorProcess

    with ExitStack() as stack:

        def start(**options: Any) -> EmulatorProcess:
            return stack.enter_context(EmulatorProcess(**options))

        yield start
