"""The metadata of the four distributions: their versions and their requirements."""

import importlib

import pytest
from packaging.requirements import Requirement

from tests.workspace import DISTRIBUTIONS, PACKAGES, ROOT, metadata, pyproject, requirements, script

matrix = script("_matrix")
VERSION = metadata("virtufin-api")["version"]
LEAVES = {
    "virtufin-api": "client",
    "virtufin-api-dapr": "dapr",
    "virtufin-api-emulator": "emulator",
    "virtufin-api-protos": "protos",
}


DIRECT = {
    "virtufin-api-protos": {"protobuf"},
    "virtufin-api": {"virtufin-api-protos", "grpcio", "grpcio-reflection"},
    "virtufin-api-dapr": {"virtufin-api", "dapr", "grpcio", "protobuf"},
    "virtufin-api-emulator": {
        "virtufin-api",
        "grpcio",
        "grpcio-health-checking",
        "grpcio-reflection",
        "tomli",
    },
}
"""The requirements that each may have itself. Every user of it installs them all."""


def leaf(distribution):
    return PACKAGES / distribution / "src/virtufin/api" / LEAVES[distribution]


def test_the_four_distributions_are_there():
    assert sorted(LEAVES) == DISTRIBUTIONS


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
class TestEach:
    def test_has_the_one_version(self, distribution):
        module = importlib.import_module(f"virtufin.api.{LEAVES[distribution]}")
        for said in (metadata(distribution)["version"], module.__version__):
            assert said == VERSION, (
                f"{said} here, {VERSION} in virtufin-api: run `scripts/bump_version {VERSION}`"
            )

    def test_pins_its_siblings_to_it(self, distribution):
        for need in requirements(distribution):
            if need.name in DISTRIBUTIONS:
                assert str(need.specifier) == f"=={VERSION}", (
                    f"`{need}` must be =={VERSION}: run `scripts/bump_version {VERSION}`"
                )

    def test_needs_only_what_is_agreed(self, distribution):
        needs = {Requirement(line).name for line in metadata(distribution)["dependencies"]}
        assert needs == DIRECT[distribution], (
            "a dependency is there for everybody who installs this: is there another way? Where "
            "there is none, add it to DIRECT and run `scripts/nox -s package_table`"
        )

    def test_bounds_third_party_dependencies_on_both_sides(self, distribution):
        for requirement in requirements(distribution):
            if requirement.name in DISTRIBUTIONS:
                continue
            operators = {specifier.operator for specifier in requirement.specifier}
            lower, upper = {">=", "=="} & operators, {"<", "=="} & operators
            assert lower, f"no lower bound: {requirement}"
            assert upper, f"no upper bound: {requirement}"

    def test_has_its_own_copy_of_the_license(self, distribution):
        path = PACKAGES / distribution / "LICENSE"
        assert not path.is_symlink()
        assert path.read_text() == (ROOT / "LICENSE").read_text()
        assert metadata(distribution)["license"] == "MIT"
        assert metadata(distribution)["license-files"] == ["LICENSE"]

    def test_puts_no_file_into_the_shared_namespace(self, distribution):
        source = PACKAGES / distribution / "src"
        for shared in (source, source / "virtufin", source / "virtufin/api"):
            for path in shared.iterdir():
                assert not path.is_file(), (
                    f"remove {path.relative_to(ROOT)}: a file there makes the namespace this "
                    "distribution's own, and hides the others where they are installed elsewhere"
                )
        assert [p.name for p in (source / "virtufin/api").iterdir() if p.is_dir()] == [
            LEAVES[distribution]
        ]

    def test_is_marked_as_typed(self, distribution):
        assert (leaf(distribution) / "py.typed").is_file()

    def test_builds_with_an_exact_backend(self, distribution):
        requires = pyproject(distribution)["build-system"]["requires"]
        assert [str(Requirement(line).specifier) for line in requires] == ["==1.33.0"]

    def test_supports_the_same_pythons(self, distribution):
        project, other = metadata(distribution), metadata("virtufin-api")
        assert project["requires-python"] == ">=3.10"
        assert project["classifiers"] == other["classifiers"]

    def test_has_a_readme_that_names_it(self, distribution):
        assert f"pip install {distribution}" in (PACKAGES / distribution / "README.md").read_text()


def test_the_classifiers_name_what_the_checks_run():
    prefix = "Programming Language :: Python :: "
    classifiers = metadata("virtufin-api")["classifiers"]
    named = [line.removeprefix(prefix) for line in classifiers if line.startswith(prefix)]
    assert named == list(matrix.PYTHONS)


def test_the_changelog_has_the_version():
    assert f"## [{VERSION}]" in (ROOT / "CHANGELOG.md").read_text()


def test_no_file_of_the_checks_names_a_package_index():
    for path in (ROOT / "requirements").iterdir():
        assert "://" not in path.read_text(), path
