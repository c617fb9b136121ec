"""A Dapr sidecar for pages that publish past the gateway."""

import pytest

from virtufin.api.emulator import EmulatorProcess


@pytest.fixture(scope="session")
def sidecar_port():
    with EmulatorProcess(dapr_port=0) as stand_in:
        yield int(stand_in.dapr_address.rpartition(":")[2])
