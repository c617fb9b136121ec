"""Rows of the matrix: proven by a run, and not any more after a failure."""

import json
import sys

import pytest

from tests.workspace import script

records = script("_records")
table = script("_matrix_table")
OLD, NEW = {"passed": 1}, {"passed": 2}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("VIRTUFIN_MATRIX_RECORDS", str(tmp_path / "records"))
    return tmp_path


def test_a_new_proof_replaces_the_one_before():
    records.begin("a")
    records.prove("a", NEW)
    assert records.merged({"a": OLD, "b": OLD}, {"a", "b"}) == {"a": NEW, "b": OLD}


def test_a_row_that_failed_has_proven_nothing():
    records.prove("a", OLD)
    records.begin("a")
    assert records.merged({"a": OLD, "b": OLD}, {"a", "b"}) == {"b": OLD}


def test_a_row_that_is_no_more_is_left_out():
    records.prove("gone", NEW)
    assert records.merged({"gone too": OLD}, {"a"}) == {}


def test_the_page_no_longer_has_what_failed(folder, monkeypatch):
    row = table._matrix.ROWS[0].name
    proven = {"python": "3.10.99", "versions": {}, "passed": 7, "skipped": 0}
    monkeypatch.setattr(table, "DATA", folder / "matrix.json")
    monkeypatch.setattr(table, "PAGE", folder / "versions.md")
    monkeypatch.setattr(sys, "argv", ["matrix_table"])
    records.prove(row, proven)
    table.main()
    assert json.loads(table.DATA.read_text()) == {row: proven}
    assert "| 3.10.99 |" in table.PAGE.read_text()
    records.begin(row)
    table.main()
    assert json.loads(table.DATA.read_text()) == {}
    assert "3.10.99" not in table.PAGE.read_text()
