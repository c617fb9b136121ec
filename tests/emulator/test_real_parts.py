"""A real daprd and a real Redis for tests, and programs that end with whoever started them."""

import gc
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from contextlib import suppress

import pytest

from tests.timing import UNIT
from virtufin.api.emulator import EmulatorProcess, sidecar

# Private, because the public programs are daprd and Redis, which do not misbehave on demand.
from virtufin.api.emulator._sidecar.program import Program

PYTHON = sys.executable
LISTEN = """
import socket, sys, time
sock = socket.create_server(("127.0.0.1", 0))
print(sock.getsockname()[1], flush=True)
time.sleep(600)
"""


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def program():
    running = Program([PYTHON, "-c", LISTEN])
    running.wait_until(lambda: running.output().endswith("\n"), 10 * UNIT)
    yield running
    running.stop()


def test_a_program_that_is_stopped_has_ended(program):
    program.stop()
    program.stop()
    assert not is_alive(program.pid)


def test_a_frozen_program_can_be_stopped_too(program):
    program.freeze()
    program.stop()
    assert not is_alive(program.pid)


def test_a_program_that_ignores_sigterm_is_killed(monkeypatch):
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True)"
    running = Program([PYTHON, "-c", f"{deaf}; time.sleep(600)"])
    running.wait_until(lambda: "1" in running.output(), 10 * UNIT)
    monkeypatch.setattr(f"{Program.__module__}._STOP_TIMEOUT", 0.1 * UNIT)
    running.stop()
    assert not is_alive(running.pid)


def test_a_program_ends_with_the_process_that_started_it_and_so_does_its_folder(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    starter = textwrap.dedent(f"""
        import time
        from {Program.__module__} import Program
        command = [{PYTHON!r}, "-c", "import time; time.sleep(600)"]
        program = Program(command, folder={str(folder)!r})
        print(program.pid, program._guard.pid, flush=True)
        time.sleep(600)
    """)
    with subprocess.Popen([PYTHON, "-c", starter], stdout=subprocess.PIPE) as process:
        pids = [int(number) for number in process.stdout.readline().split()]
        process.send_signal(signal.SIGKILL)
        process.wait()
        for pid in pids:
            wait_for_the_end_of(pid)
    assert not folder.exists()


def wait_for_the_end_of(pid):
    with suppress(ProcessLookupError):
        watch = os.pidfd_open(pid)
        assert select.select([watch], [], [], 10 * UNIT)[0], "it still runs"
        os.close(watch)


@pytest.mark.parametrize("running", [Program, EmulatorProcess])
def test_a_process_that_was_forked_does_not_delay_the_end(running, monkeypatch, tmp_path):
    monkeypatch.setattr(sys.modules[running.__module__], "_STOP_TIMEOUT", 40 * UNIT)
    if running is Program:
        one = Program([PYTHON, "-c", "import time; time.sleep(600)"], folder=str(tmp_path))
    else:
        one = EmulatorProcess()
    holding = os.dup((one._guard if running is Program else one._process).stdin.fileno())
    try:
        began = time.monotonic()
        one.stop()
        assert time.monotonic() - began < 20 * UNIT
    finally:
        os.close(holding)
    assert tmp_path.exists()


def test_a_program_that_ends_at_once_shows_what_it_wrote():
    running = Program([PYTHON, "-c", "raise SystemExit('no such component')"])
    with pytest.raises(RuntimeError, match=r"ended: no such component\n$"):
        running.wait_until(lambda: False, 10 * UNIT)


def test_a_program_that_does_not_get_ready_is_ended(program):
    with pytest.raises(RuntimeError, match="not ready within"):
        program.wait_until(lambda: False, 0.05 * UNIT)
    assert not is_alive(program.pid)


def test_a_program_that_cannot_be_started_says_so(tmp_path):
    with pytest.raises(RuntimeError, match=r"could not be started: .*/nothing: No such file"):
        Program([str(tmp_path / "nothing")])


def test_a_missing_program_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("VIRTUFIN_DAPRD", "VIRTUFIN_REDIS_SERVER"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(sidecar.MissingProgramError, match=r"dapr init.*VIRTUFIN_DAPRD"):
        sidecar.find_daprd()
    with pytest.raises(sidecar.MissingProgramError, match=r"redis-server on.*VIRTUFIN_REDIS"):
        sidecar.find_redis()
    monkeypatch.setenv("VIRTUFIN_DAPRD", str(tmp_path / "daprd"))
    with pytest.raises(sidecar.MissingProgramError, match="names no program"):
        sidecar.find_daprd()


def test_a_program_is_found_by_its_variable(monkeypatch):
    monkeypatch.setenv("VIRTUFIN_DAPRD", PYTHON)
    assert sidecar.find_daprd() == PYTHON


@pytest.mark.usefixtures("real_parts")
def test_redis_keeps_its_port_and_what_was_acknowledged_when_it_is_killed():
    with sidecar.Redis() as redis:
        port, pid = redis.port, redis.pid
        said = talk(redis, b"SET key value\r\n")
        assert said == b"+OK\r\n"
        redis.restart()
        assert (redis.port, redis.pid != pid) == (port, True)
        assert talk(redis, b"GET key\r\n") == b"$5\r\nvalue\r\n"
        folder = redis.folder
    assert not folder.exists()
    assert not redis.running
    with pytest.raises(ConnectionError, match=r"start\(\)"):
        redis.kill()


def talk(redis, command):
    with socket.create_connection((redis.address.split(":")[0], redis.port)) as connection:
        connection.sendall(command)
        return connection.recv(100)


def test_a_sidecar_starts_and_ends_with_its_block(real_parts, real_redis):
    with sidecar.Sidecar("one", sidecar.redis_components(real_redis)) as dapr:
        assert dapr.address == f"127.0.0.1:{dapr.grpc_port}"
        assert "one" in repr(dapr)
        assert "dapr initialized" in dapr.output
        pid = dapr.pid
        dapr.restart()
        assert not is_alive(pid)
        pid = dapr.pid
    assert not is_alive(pid)


def test_a_sidecar_demands_the_token_of_the_environment(real_parts, monkeypatch):
    monkeypatch.setenv("DAPR_API_TOKEN", "s3cr3t")
    pubsub = real_parts.component("pubsub", "pubsub.in-memory")
    with real_parts.Sidecar("guarded", [pubsub]) as dapr:
        assert dapr.running


@pytest.mark.parametrize(
    "wrong",
    [
        {"app_id": 5},
        {"app_id": ""},
        {"resources": "{}"},
        {"resources": [5]},
        {"app_port": "http"},
        {"arguments": "--log-level"},
        {"environment": {"NUMBER": 5}},
    ],
    ids=str,
)
def test_a_wrong_argument_of_a_sidecar_leaves_nothing_behind(wrong, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises((TypeError, ValueError), match=next(iter(wrong)).rstrip("s")):
        sidecar.Sidecar(**{"app_id": "one", "program": PYTHON, **wrong})
    gc.collect()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("resource", ["[]", "5", '{"kind": "Component"}', "kind: Component"])
def test_a_resource_that_is_no_component_is_left_to_daprd(resource):
    dapr = sidecar.Sidecar("one", [resource], program=PYTHON)
    assert [file.read_text() for file in dapr.folder.iterdir()] == [resource]
    dapr.close()


def test_redis_delivers_again_after_a_whole_number_of_milliseconds():
    redis = sidecar.Redis(program=PYTHON)
    with pytest.raises(ValueError, match="milliseconds"):
        sidecar.redis_components(redis, pubsub_metadata={"processingTimeout": "1s"})
    redis.close()


@pytest.mark.usefixtures("real_parts")
def test_a_sidecar_waits_for_its_app():
    pubsub = sidecar.component("pubsub", "pubsub.in-memory")
    with (
        EmulatorProcess() as app,
        sidecar.Sidecar("found", [pubsub], app_port=app.port) as dapr,
    ):
        dapr.wait_for_app()
        assert "application discovered" in dapr.output


@pytest.mark.usefixtures("real_parts")
def test_an_app_that_does_not_come_says_so(unused_port):
    with (
        sidecar.Sidecar("alone", app_port=unused_port) as dapr,
        pytest.raises(RuntimeError, match="not ready within"),
    ):
        dapr.wait_for_app(UNIT)


def test_a_sidecar_that_cannot_start_shows_its_output(real_parts):
    broken = sidecar.component("store", "state.none")
    with (
        pytest.raises(RuntimeError, match="daprd ended"),
        sidecar.Sidecar("broken", [broken]),
    ):
        pass


def test_a_component_may_be_for_some_apps_only():
    text = sidecar.component("pubsub", "pubsub.in-memory", scopes=["a"])
    assert '"scopes": [\n    "a"\n  ]' in text
