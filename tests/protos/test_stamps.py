"""The version stamps in generated code decide what users need; the declared floors must match."""

import re
from pathlib import Path

import pytest
from packaging.version import Version

from tests.workspace import DISTRIBUTIONS, PACKAGES, requirements

GENERATED = sorted(PACKAGES.glob("*/src/**/*_pb2*.py"))


def floors(dependency):
    """The lower bounds of that dependency wherever a distribution declares it."""
    return [
        Version(specifier.version)
        for distribution in DISTRIBUTIONS
        for requirement in requirements(distribution)
        for specifier in requirement.specifier
        if requirement.name == dependency and specifier.operator == ">="
    ]


def stamp(path: Path, pattern: str):
    found = re.search(pattern, path.read_text(), re.MULTILINE)
    return Version(found[1]) if found else None


def test_there_is_generated_code():
    assert len(GENERATED) >= 13


NEWER = (
    "the generator is newer than the floors that are declared, and everybody who installs this "
    "would need its version: generate with the pinned one (scripts/generate_protos), or raise the "
    "floors in pyproject.toml knowingly"
)


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.name)
def test_generated_code_requires_no_more_than_the_declared_floors(path):
    if path.stem.endswith("_grpc"):
        wanted = stamp(path, r"^GRPC_GENERATED_VERSION = '([\d.]+)'")
        assert wanted
        assert wanted <= min(floors("grpcio")), NEWER
    else:
        wanted = stamp(path, r"^# Protobuf Python Version: ([\d.]+)")
        assert wanted
        assert wanted <= min(floors("protobuf")), NEWER
        # From 5.27 on generated code checks the runtime's version at import.
        assert "ValidateProtobufRuntimeVersion" not in path.read_text(), NEWER


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.name)
def test_generated_code_stays_out_of_the_default_pool(path):
    assert "_descriptor_pool.Default()" not in path.read_text()
