"""Every Python block of the documentation runs as it is printed."""

import sys

import pytest

from tests.docs.blocks import PAGES, Reader, blocks_of
from tests.workspace import ROOT

RUNNABLE = [page for page in PAGES if any(not block.not_run for block in blocks_of(page))]
# Blocks that no test can run, each with its reason beside it in the page.
NOT_RUN = {"docs/dapr-gateway.md": 1}  # tests/e2e runs it


def short(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", RUNNABLE, ids=short)
def test_blocks_run_as_printed(page, virtufin_emulator, sidecar_port, monkeypatch, tmp_path):
    gateway = virtufin_emulator
    monkeypatch.setenv("VIRTUFIN_API_HOST", gateway.host)
    monkeypatch.setenv("VIRTUFIN_API_GRPC_PORT", str(gateway.port))
    monkeypatch.setenv("DAPR_GRPC_PORT", str(sidecar_port))
    monkeypatch.setenv("APP_PORT", "0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    # The address and the waits are all that differs from what is printed.
    replaced = {
        'host="localhost"': f'host="{gateway.host}"',
        "grpc_port=5002": f"grpc_port={gateway.port}",
        "asyncio.sleep(10)": "asyncio.sleep(0.5)",
        "asyncio.sleep(1)": "asyncio.sleep(0.1)",
    }
    reader = Reader(replaced)
    try:
        for block in blocks_of(page):
            if block.not_run:
                continue
            try:
                reader.run(block)
            except BaseException as error:
                raise AssertionError(f"the block at {block.place} failed: {error!r}") from error
    finally:
        reader.close()


def test_the_blocks_that_are_not_run_are_listed():
    found = {}
    for page in PAGES:
        for block in blocks_of(page):
            if block.not_run:
                found.setdefault(short(page), []).append(block.not_run)
    for page, reasons in found.items():
        for reason in reasons:
            print(f"not run: {page}: {reason}")  # noqa: T201 - what the run leaves out
    assert {page: len(reasons) for page, reasons in found.items()} == NOT_RUN
