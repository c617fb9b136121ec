"""The page of the first documented client: its code stands in lines, line by line and in order."""

import re

import pytest

from tests.docs.blocks import blocks_of
from tests.workspace import ROOT

REFERENCE = (ROOT / "tests/docs/python-client-page.txt").read_text()
CODE_START = re.compile(
    r"import |from |async |await |class |def |client = |client\.|handler = |event\.|sys\.|asyncio\."
)


def printed_blocks():
    """Blocks of the reference: runs of lines that are code, up to the next line of prose."""
    blocks, block = [], []
    for line in REFERENCE.splitlines():
        starts = CODE_START.match(line) and not line.startswith("async for event in client.pubsub")
        if starts or (block and (line.startswith((" ", "#", ")", "async for")) or not line)):
            block.append(line)
        elif block:
            blocks.append(block)
            block = []
    return [[line for line in block if line] for block in blocks]


def client_lines():
    """Lines of code on our page, in order."""
    page = ROOT / "docs/python-client.md"
    return [line for block in blocks_of(page) for line in block.code.splitlines() if line]


BLOCKS = printed_blocks()


def test_the_reference_has_its_blocks():
    assert len(BLOCKS) >= 20
    assert sum(len(block) for block in BLOCKS) >= 150


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block[0].strip()[:50])
def test_our_page_prints_the_references_code(block):
    lines = client_lines()
    position = -1
    missing = []
    for line in block:
        try:
            position = lines.index(line, position + 1)
        except ValueError:
            missing.append(line)
    assert not missing
