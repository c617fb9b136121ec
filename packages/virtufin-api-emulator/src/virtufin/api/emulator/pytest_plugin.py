"""Fixtures for tests against an emulated gateway. pytest finds them automatically.

The fixtures are synchronous and the emulator is a separate process. The reason: a gRPC server and
a client in two event loops of one process disturb each other, and test frameworks give each test
its own event loop. `async with Emulator()` runs an emulator in the test's own event loop.

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

# No import of grpc at module level, because pytest imports this module in every run and grpc is
# slow to import.
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

    All tests of a session share one process. State, faults, registered keys and the samples are
    reset before each test.
    """
    _virtufin_emulator_process.reset()
    return _virtufin_emulator_process


@pytest.fixture
def virtufin_emulator_factory() -> Iterator[Callable[..., EmulatorProcess]]:
    """A function that starts additional gateways, each in its own process.

    The function takes the arguments of `Emulator`. The gateways end after the test.
    """
    from virtufin.api.emulator._process.process import EmulatorProcess

    with ExitStack() as stack:

        def start(**options: Any) -> EmulatorProcess:
            return stack.enter_context(EmulatorProcess(**options))

        yield start
