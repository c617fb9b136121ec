"""A warm call stays on few files and functions, which is what it costs and what one must read."""

import importlib.util
import sys

import pytest

from tests.workspace import ROOT

# On Python 3.10 a call waits in a further helper, because it cannot distinguish cancellations.
MORE = 0 if sys.version_info >= (3, 11) else 1


@pytest.fixture(scope="module")
def rooms():
    """The tracing script of the benchmarks."""
    found = importlib.util.spec_from_file_location("rooms", ROOT / "benchmarks" / "rooms.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


async def test_a_warm_call_and_an_event_enter_few_files_and_functions(rooms):
    visits = await rooms.measure()
    files = {journey: len(found.rooms()) for journey, found in visits.items()}
    assert files["ListWorkers()"] <= 14 + MORE
    assert files["get_state_async()"] <= 9 + MORE
    assert files["publish to handler"] <= 12 + MORE
    assert visits["ListWorkers()"].functions <= 70
    assert visits["get_state_async()"].functions <= 26
    assert visits["publish to handler"].functions <= 52
