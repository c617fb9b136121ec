"""The blocks of the documentation that need a real sidecar."""

import pytest

from tests.docs.blocks import Reader, blocks_of
from tests.workspace import ROOT

NEEDING_REAL_PARTS = [block for block in blocks_of(ROOT / "docs/dapr-gateway.md") if block.not_run]


@pytest.mark.usefixtures("real_parts")
@pytest.mark.parametrize("block", NEEDING_REAL_PARTS, ids=lambda block: block.place)
def test_a_block_that_needs_real_parts_runs_as_printed(block, capsys):
    reader = Reader({})
    try:
        reader.run(block)
    finally:
        reader.close()
    assert capsys.readouterr().out.startswith("127.0.0.1:")
