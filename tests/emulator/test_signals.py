"""The command ends quietly, whenever SIGINT or SIGTERM come."""

import signal
import subprocess
import sys

import pytest

pytestmark = [
    pytest.mark.slow,  # a process for each test
    pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM]),
]

# Runs the command with something prepared. Whatever runs these tests in the background may have
# had SIGINT ignored.
RUN = """
import os, runpy, signal, sys

signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
number = int(sys.argv.pop(1))

def interrupt():
    os.kill(os.getpid(), number)

{prepare}
sys.argv[1:] = ["--port", "0"]
runpy.run_module("virtufin.api.emulator", run_name="__main__", alter_sys=True)
"""

AT_IMPORT = """
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            interrupt()

sys.meta_path.insert(0, Finder())
"""
AT_START = """
import grpc.aio

make_server = grpc.aio.server

def server(*arguments, **options):
    interrupt()
    return make_server(*arguments, **options)

grpc.aio.server = server
"""
WHILE_ENDING = """
from virtufin.api.emulator import Emulator

stop = Emulator.stop

async def stop_interrupted(self):
    interrupt()
    await stop(self)

Emulator.stop = stop_interrupted
"""
AT_THE_VERY_END = """
import atexit

atexit.register(interrupt)
"""


@pytest.fixture
def command():
    """Starts the command with some code before it, and sends it a signal by its number."""
    running = []

    def start(number, prepare=""):
        process = subprocess.Popen(
            [sys.executable, "-c", RUN.format(prepare=prepare), str(int(number))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    "name", ["virtufin.api.emulator._cli", "asyncio", "grpc", "google.protobuf.descriptor_pool"]
)
def test_while_it_imports_the_exit_code_is_a_shells(command, number, name, unit):
    process = command(number, AT_IMPORT.format(name=name))
    out, err = process.communicate(timeout=20 * unit)
    assert (process.returncode, out, err) == (128 + number, b"", b"")


def test_before_it_listens_the_exit_code_is_a_shells(command, number, unit):
    process = command(number, AT_START)
    out, err = process.communicate(timeout=20 * unit)
    assert (process.returncode, out, err) == (128 + number, b"", b"")


@pytest.mark.parametrize("prepare", [WHILE_ENDING, AT_THE_VERY_END])
def test_a_second_one_changes_nothing(command, number, prepare, unit):
    process = command(number, prepare)
    process.stdout.readline()
    process.send_signal(number)
    _, err = process.communicate(timeout=20 * unit)
    assert (process.returncode, err) == (0, b"")


def test_the_first_line_says_that_it_ends_with_0_from_now_on(command, number, unit):
    process = command(number, "import builtins\nbuiltins.print = lambda *_, **__: interrupt()")
    _, err = process.communicate(timeout=20 * unit)
    assert (process.returncode, err) == (0, b"")
