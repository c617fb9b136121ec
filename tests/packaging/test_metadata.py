"""What the four distributions promise about each other and about what they need."""

import ast
import importlib

import pytest
from packaging.requirements import Requirement

from tests.workspace import DISTRIBUTIONS, PACKAGES, ROOT, metadata, pyproject, requirements

VERSION = metadata("virtufin-api")["version"]
LEAVES = {
    "virtufin-api": "client",
    "virtufin-api-dapr": "dapr",
    "virtufin-api-emulator": "emulator",
    "virtufin-api-protos": "protos",
}


def leaf(distribution):
    return PACKAGES / distribution / "src/virtufin/api" / LEAVES[distribution]


def test_the_four_distributions_are_there():
    assert sorted(LEAVES) == DISTRIBUTIONS


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
class TestEach:
    def test_has_the_one_version(self, distribution):
        assert metadata(distribution)["version"] == VERSION
        module = importlib.import_module(f"virtufin.api.{LEAVES[distribution]}")
        assert module.__version__ == VERSION

    def test_pins_its_siblings_to_it(self, distribution):
        siblings = [r for r in requirements(distribution) if r.name in DISTRIBUTIONS]
        assert all(str(sibling.specifier) == f"=={VERSION}" for sibling in siblings)

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
            assert [path.name for path in shared.iterdir() if path.is_file()] == []
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
    noxfile = ast.parse((ROOT / "noxfile.py").read_text())
    supported = next(
        ast.literal_eval(node.value)
        for node in noxfile.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "SUPPORTED"
    )
    prefix = "Programming Language :: Python :: "
    classifiers = metadata("virtufin-api")["classifiers"]
    named = [line.removeprefix(prefix) for line in classifiers if line.startswith(prefix)]
    assert named == supported


def test_the_changelog_has_the_version():
    assert f"## [{VERSION}]" in (ROOT / "CHANGELOG.md").read_text()


def test_no_file_of_the_checks_names_a_package_index():
    for path in (ROOT / "requirements").iterdir():
        assert "://" not in path.read_text(), path
