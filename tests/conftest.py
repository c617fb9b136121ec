"""Fixtures and hooks for the tests of several distributions."""

import os
import random

import pytest

from tests.ports import take_port, unused_port

__all__ = ["take_port", "unused_port"]

if os.environ.get("VIRTUFIN_TEST_LOOP") == "uvloop":
    import uvloop

    def pytest_asyncio_loop_factories():
        """Runs asynchronous tests on uvloop's event loop."""
        return {"uvloop": uvloop.new_event_loop}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Replaces lone surrogates in captured output: a test process could not send the report."""
    report = yield
    report.sections = [
        (name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections
    ]
    return report


@pytest.fixture
def seed(request):
    """The seed of the test's random choices. A failure shows it; VIRTUFIN_TEST_SEED repeats it."""
    number = int(os.environ.get("VIRTUFIN_TEST_SEED") or random.randrange(2**32))
    request.node.add_report_section("setup", "seed", f"VIRTUFIN_TEST_SEED={number}")
    return number


@pytest.fixture(scope="session")
def real_parts():
    """The module that starts a real daprd and a real Redis, where both are on this machine.

    VIRTUFIN_REAL_PARTS: `required` fails the tests that need them where they are missing, `none`
    leaves these tests out.
    """
    if os.environ.get("VIRTUFIN_REAL_PARTS") == "none":
        pytest.skip("this run leaves out the tests with a real sidecar and Redis")
    sidecar = pytest.importorskip("virtufin.api.emulator.sidecar")
    pytest.importorskip("dapr", reason="the Dapr plugin is not installed")
    try:
        sidecar.find_daprd()
        sidecar.find_redis()
    except sidecar.MissingProgramError as missing:
        if os.environ.get("VIRTUFIN_REAL_PARTS") == "required":
            raise
        pytest.skip(f"{missing}; scripts/real_parts gets it")
    return sidecar


@pytest.fixture(scope="module")
def real_redis(real_parts):
    """A Redis for the tests of a module; what is acknowledged survives its restarts."""
    with real_parts.Redis() as redis:
        yield redis
