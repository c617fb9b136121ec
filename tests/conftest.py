"""What tests of several distributions share."""

import os
import random

import pytest


@pytest.fixture
def seed(request):
    """Where the test's random choices begin; shown when it fails, VIRTUFIN_TEST_SEED repeats it."""
    number = int(os.environ.get("VIRTUFIN_TEST_SEED") or random.randrange(2**32))
    request.node.add_report_section("setup", "seed", f"VIRTUFIN_TEST_SEED={number}")
    return number
