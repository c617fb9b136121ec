"""The output and the end of scripts/test and .ci/run."""

import os
import signal
import sys
import threading
import time

import pytest

from tests.workspace import script

checks = script("_checks")
PYTEST = """
FAILED test_inner.py::test_of_another_run - no
1 failed in 0.01s
=========================== short test summary info ============================
FAILED tests/a/test_a.py::test_one[x y] - AssertionError: assert 1 == 2
FAILED tests/a/test_a.py::test_two - ValueError: odd
ERROR tests/a/test_b.py::test_three
3 failed, 40 passed, 2 skipped in 12.34s
"""


@pytest.fixture(autouse=True)
def logs(tmp_path, monkeypatch):
    """Keeps the logs of these runs apart from those of the run that they are a part of."""
    monkeypatch.setattr(checks, "ROOT", tmp_path)
    monkeypatch.setattr(checks, "LOGS", tmp_path / "logs")
    return tmp_path / "logs"


def check(name, output="", *, code=0, program=""):
    program = program or f"print({output!r}); raise SystemExit({code})"
    return checks.Check(name, (sys.executable, "-c", program))


def run(*stages):
    return checks.Run("scripts/test", stages).run()


def test_a_failed_test_stands_at_the_end_with_its_assertion_and_the_command(capsys):
    noise = "\n".join(f"line {number}" for number in range(100))
    assert run(((check("tests", noise + PYTEST, code=1),),), ((check("docs", noise),),)) == 1
    end = capsys.readouterr().out.splitlines()[-20:]
    at = end.index("FAILED tests/a/test_a.py::test_one[x y]")
    assert end[at + 1] == "  AssertionError: assert 1 == 2"
    assert end[at + 2] == "  again: scripts/test 'tests/a/test_a.py::test_one[x y]'"
    assert end[-1].endswith("FAILED: tests")


def test_many_failures_do_not_hide_the_rest(capsys):
    many = "== short test summary info ==\n"
    many += "\n".join(f"FAILED tests/a/test_a.py::test_{n} - no" for n in range(50))
    assert run(((check("tests", many, code=1),),)) == 1
    end = capsys.readouterr().out.splitlines()[-20:]
    assert "FAILED tests/a/test_a.py::test_0" in end
    assert "and 46 more; all of it is in logs/tests.log" in end


def test_a_check_that_is_no_test_shows_its_last_lines_and_the_command(capsys):
    assert run(((check("lint", "a.py:1: too long\nnox > Session lint failed.", code=1),),)) == 1
    end = capsys.readouterr().out
    assert "\n  a.py:1: too long\nFAILED lint: all of it is in logs/lint.log\n" in end


def test_skipped_checks_are_named_again_at_the_end(capsys):
    said = "nox > LEFT OUT: tests with a real sidecar\n" + "line\n" * 100
    assert run(((check("tests", said),),)) == 0
    assert "left out: tests with a real sidecar" in capsys.readouterr().out.splitlines()[-20:]


def test_the_numbers_of_all_checks_are_added_up(capsys):
    other = "===== 5 passed, 1 skipped in 0.10s ====="
    run(((check("tests", PYTEST, code=1),),), ((check("more", other),),))
    assert "\ntests: 45 passed, 4 failed, 3 skipped\n" in capsys.readouterr().out


def test_a_failed_check_stops_no_other(capsys):
    assert run(((check("lint", code=1), check("types")),), ((check("docs"),),)) == 1
    assert capsys.readouterr().out.count("--- passed in") == 2


def test_lanes_run_side_by_side_and_checks_of_a_lane_in_order(tmp_path):
    # Each waits for the other lane, so that one after the other none would end.
    wait = "import pathlib, time\np = pathlib.Path({!r})\n(p / {!r}).touch()\n"
    wait += "while not (p / {!r}).exists(): time.sleep(0.01)"
    first = check("first", program=wait.format(str(tmp_path), "a", "b"))
    second = check("second", program=wait.format(str(tmp_path), "b", "a"))
    assert run(((first,), (second,))) == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_check_that_cannot_be_started_has_failed(capsys):
    assert run(((checks.Check("missing", ("/no/such/program",)),),)) == 1
    assert capsys.readouterr().out.strip().endswith("FAILED: missing")


def test_an_interrupted_run_ends_what_runs_and_begins_nothing_more(tmp_path, capsys):
    begun = tmp_path / "begun"
    waits = f"import pathlib, time; pathlib.Path({str(begun)!r}).touch(); time.sleep(60)"

    def interrupt():
        while not begun.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=interrupt)
    thread.start()
    assert run(((check("first", program=waits), check("second", "here")),)) == 130
    thread.join()
    said = capsys.readouterr().out
    assert "here" not in said
    assert said.strip().endswith("interrupted")


def test_all_that_a_check_printed_is_kept(logs):
    run(((check("real parts", "one\nnox > uv pip install two"),),))
    assert (logs / "real-parts.log").read_text() == "one\nnox > uv pip install two\n"


def test_an_unlikely_byte_ends_nothing(capsys):
    program = r"import sys; sys.stdout.buffer.write(b'\xff\n')"
    assert run(((check("tests", program=program),),)) == 0
    assert "tests | \N{REPLACEMENT CHARACTER}" in capsys.readouterr().out


def test_a_run_within_a_run_is_counted_and_explained(capsys):
    inner = (
        "=== what scripts/test found\nFAILED tests/a.py::test_a\n  assert 0\n"
        "  again: scripts/test tests/a.py::test_a\ntests: 7 passed, 1 failed, 2 skipped\n"
    )
    assert run(((check("scripts/test", inner, code=1),),), ((check("rows", PYTEST),),)) == 1
    said = capsys.readouterr().out
    again = "  again: scripts/test tests/a.py::test_a"
    assert f"\nFAILED tests/a.py::test_a\n  assert 0\n{again}\n" in said
    assert "\ntests: 47 passed, 5 failed, 4 skipped\n" in said


def test_a_test_of_another_session_is_repeated_there(capsys):
    row = "nox > Running session rows(client-3.15-latest)" + PYTEST
    assert run(((check("rows", row, code=1),),)) == 1
    said = capsys.readouterr().out
    assert (
        "  again: scripts/nox -s 'rows(client-3.15-latest)' -- tests/a/test_a.py::test_two" in said
    )
    assert "test_of_another_run\n" not in said.partition("=== what")[2]
