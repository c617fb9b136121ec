"""The page about size and dependencies says what is so."""

import pytest

from tests.workspace import script

table = script("_package_table")
pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]
RUN = "run `scripts/nox -s package_table`"
OFF = 0.05
"""By how much a size may differ from the page's: not every line of code is worth a new page."""


def test_the_page_has_each_requirement():
    assert [row.wanted for row in table.written()] == list(table.WANTED), RUN


@pytest.mark.parametrize("row", table.written(), ids=lambda row: row.wanted)
def test_a_row_says_what_is_installed(row, built, tmp_path):
    found = table.measured(row.wanted, built, tmp_path / "target")
    assert (found.packages, found.others) == (row.packages, row.others), RUN
    assert row.wheel == pytest.approx(found.wheel, rel=OFF, abs=0.5), RUN
    assert row.everything == pytest.approx(found.everything, rel=OFF, abs=0.05), RUN


def test_the_rest_of_the_page_is_what_is_written():
    text = table.PAGE.read_text()
    assert text == table._TOP + "".join(map(str, table.written())) + table._END, RUN
