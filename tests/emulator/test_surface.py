"""The public names of the package, and the cost of importing it."""

import subprocess
import sys

import pytest

import virtufin.api.emulator as package
from virtufin.api.emulator import faults


def test_every_public_name_can_be_imported():
    for name in package.__all__:
        assert getattr(package, name) is not None
    assert dir(package) == sorted(package.__all__)
    assert package.Faults is faults.Faults


def test_other_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="Emulater"):
        package.Emulater  # noqa: B018


@pytest.mark.parametrize("module", ["virtufin.api.emulator", "virtufin.api.emulator.pytest_plugin"])
def test_importing_does_not_import_grpc(module):
    code = f"import sys, {module}; assert 'grpc' not in sys.modules, 'grpc'"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_nothing_slow_is_imported_before_signals_are_handled():
    code = """
import sys
before = set(sys.modules)
import virtufin.api.emulator.__main__
slow = {"argparse", "asyncio", "grpc", "logging", "re", "typing"} & (set(sys.modules) - before)
assert not slow, slow
"""
    subprocess.run([sys.executable, "-c", code], check=True)
