"""Each distribution says hello, and none is waited for without an end."""

import os
import sys
import time

import pytest

from tests.release.conftest import fake
from tests.workspace import script

versions = script("_versions")
smoke = script("_smoke")
process = script("_process")
SOURCE = smoke.Source("here", [])


@pytest.fixture
def installed(monkeypatch):
    """Records what was installed. This environment, which has all of it, replaces the new one."""
    found = []

    def install(folder, source, requirement):
        found.append(requirement)
        return sys.executable

    monkeypatch.setattr(smoke, "_install", install)
    return found


def test_each_distribution_is_installed_and_says_hello(installed, capsys):
    smoke.run(SOURCE, "7.8.9")
    assert installed[0] == "virtufin-api-emulator[dapr]==7.8.9"
    assert installed[1:] == [f"{name}==7.8.9" for name in versions.DISTRIBUTIONS]
    said = capsys.readouterr().out.splitlines()
    wanted = [f"  {name} 7.8.9: installed alone, said hello" for name in versions.DISTRIBUTIONS]
    assert said == wanted


@pytest.mark.parametrize("name", versions.DISTRIBUTIONS)
def test_a_distribution_that_does_not_work_is_named(installed, monkeypatch, name):
    monkeypatch.setitem(smoke.HELLO, name, "raise SystemExit(1)")
    with pytest.raises(versions.ReleaseError, match=f"{name} 7.8.9 of here does not work"):
        smoke.run(SOURCE, "7.8.9")


def test_a_program_that_does_not_end_is_ended(installed, monkeypatch):
    monkeypatch.setattr(smoke, "HELLO_TIMEOUT", 0.5)
    monkeypatch.setitem(smoke.HELLO, "virtufin-api-protos", "import time; time.sleep(60)")
    with pytest.raises(versions.ReleaseError, match="not done after"):
        smoke.run(SOURCE, "7.8.9")


@pytest.mark.parametrize(
    ("does", "sentence"),
    [("exec sleep 60", "still running"), ("echo oh; exit 1", "did not start:\noh")],
)
def test_an_emulator_that_does_not_start_is_not_waited_for(monkeypatch, tmp_path, does, sentence):
    monkeypatch.setattr(process, "START_TIMEOUT", 0.5)
    fake(tmp_path / "bin", "python", f"#!/bin/sh\n{does}\n")
    monkeypatch.setattr(smoke, "_install", lambda *_: str(tmp_path / "bin/python"))
    with pytest.raises(versions.ReleaseError, match=sentence):
        smoke.run(SOURCE, "7.8.9")


def test_an_emulator_that_does_not_end_is_killed(monkeypatch):
    monkeypatch.setattr(process, "STOP_TIMEOUT", 0.2)
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True)"
    command = [sys.executable, "-c", f"{code}; time.sleep(60)"]
    begin = time.monotonic()
    with process.running(command, dict(os.environ)) as child:
        assert next(process.lines_of(child, 10)) == "up"
    assert child.returncode == -9
    assert time.monotonic() - begin < 20


def test_settings_of_the_user_choose_no_version(monkeypatch, tmp_path):
    seen = tmp_path / "seen"
    monkeypatch.setenv(
        "PATH", fake(tmp_path / "bin", "uv", f'#!/bin/sh\n(echo "$@"; env) >{seen}\n')
    )
    monkeypatch.setenv("UV_EXCLUDE_NEWER", "2001-01-01")
    monkeypatch.setenv("UV_RESOLUTION", "lowest")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://mirror.invalid/simple")
    smoke._install(tmp_path / "venv", smoke.Source("here", [], {"UV_INDEX_V_USERNAME": "u"}), "x")
    text = seen.read_text()
    assert "UV_EXCLUDE_NEWER" not in text
    assert "UV_RESOLUTION" not in text
    assert "UV_DEFAULT_INDEX=https://mirror.invalid/simple" in text
    assert "UV_INDEX_V_USERNAME=u" in text
    assert "--no-config" in text.splitlines()[0]


def test_an_install_that_does_not_end_is_ended(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", fake(tmp_path / "bin", "uv", "#!/bin/sh\nexec sleep 60\n"))
    monkeypatch.setattr(smoke, "INSTALL_TIMEOUT", 0.3)
    with pytest.raises(versions.ReleaseError, match="cannot be installed from here: not done"):
        smoke._install(tmp_path / "venv", SOURCE, "x")
