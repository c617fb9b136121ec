"""The table of proven versions is complete, current and true to what is declared."""

import json

import pytest
from packaging.version import Version

from tests.workspace import requirements, script

matrix = script("_matrix")
table = script("_matrix_table")
RECORDS = json.loads(table.DATA.read_text())


@pytest.mark.parametrize("name", [row.name for row in matrix.ROWS])
def test_each_row_is_recorded(name):
    assert name in RECORDS, (
        f"run `scripts/nox -s 'matrix({name})'`, then `scripts/nox -s matrix_table`"
    )
    assert RECORDS[name]["passed"]


def test_nothing_else_is_recorded():
    assert not set(RECORDS) - {row.name for row in matrix.ROWS}, (
        "run `scripts/nox -s matrix_table`: rows are gone"
    )


def test_the_page_is_what_the_records_say():
    assert table.PAGE.read_text() == table.page(RECORDS), "run `scripts/nox -s matrix_table`"


def test_the_lowest_rows_got_the_lowest_protobuf_that_is_declared():
    declared = {
        line.specifier for line in requirements("virtufin-api-protos") if line.name == "protobuf"
    }
    lowest = min(
        Version(part.version) for line in declared for part in line if ">" in part.operator
    )
    got = min(
        Version(RECORDS[row.name]["versions"]["protobuf"])
        for row in matrix.ROWS
        if row.versions == "lowest"
    )
    assert got.release[:2] == lowest.release[:2]


@pytest.mark.parametrize("python", matrix.PYTHONS)
def test_each_python_runs_on_each_change(python):
    assert any(row.each_change for row in matrix.ROWS if row.python == python)


@pytest.mark.parametrize("subject", matrix.FOLDERS)
def test_each_distribution_runs_on_each_change(subject):
    assert any(row.each_change for row in matrix.ROWS if row.subject == subject)


@pytest.mark.parametrize("minor", matrix.SHAPES)
def test_each_version_of_dapr_runs_on_each_change(minor):
    run = [RECORDS[row.name]["versions"] for row in matrix.ROWS if row.each_change]
    assert any(versions.get("dapr", "").startswith(f"{minor}.") for versions in run)
