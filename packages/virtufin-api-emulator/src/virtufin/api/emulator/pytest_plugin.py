"""Fixtures for tests against an emulated gateway. pytest finds them without configuration.

The fixtures are synchronous, and each emulator is a process of its own. The reason: a gRPC server
and a client in two event loops of one process disturb each other, and test frameworks give each
test an event loop of its own. `async with Emulator()` runs an emulator in the event loop of the
test.

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
    """Returns a running emulator with a relay, in a process that all tests of the session share.

    Before each test, state, faults, registered keys and the data of the sample backends are reset.
    The most useful attributes are `host`, `port`, `target`, `faults`, `network`, `reset()` and
    `restart()`.
    """
    _virtufin_emulator_process.reset()
    return _virtufin_emulator_process


@pytest.fixture
def virtufin_emulator_factory() -> Iterator[Callable[..., EmulatorProcess]]:
    """Returns a function that starts a further emulator in a process of its own.

    The function takes the arguments of `Emulator`. The fixture stops the emulators after the test.
    """
    from virtufin.api.emulator._process.process import EmulatorProcess

    with ExitStack() as stack:

        def start(**options: Any) -> EmulatorProcess:
            return stack.enter_context(EmulatorProcess(**options))

        yield start
