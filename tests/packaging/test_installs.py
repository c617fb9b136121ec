"""The distributions beside each other and beside others, however they are installed."""

import itertools

import pytest

from tests.packaging.conftest import environment, execute, install, run, wheel
from tests.packaging.exercises import EXERCISES
from tests.packaging.test_metadata import LEAVES
from tests.workspace import DISTRIBUTIONS, PACKAGES

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]

WORK = EXERCISES["virtufin-api-emulator[dapr]"]  # which needs all four


def sources(editable, built):
    """Arguments that install all four, some as editable."""
    return [
        item
        for name in DISTRIBUTIONS
        for item in (
            ["-e", str(PACKAGES / name)] if name in editable else [str(wheel(built, name))]
        )
    ]


@pytest.mark.parametrize(
    "editable",
    [
        (),
        tuple(DISTRIBUTIONS),
        ("virtufin-api",),
        ("virtufin-api-protos", "virtufin-api-emulator"),
        ("virtufin-api-dapr", "virtufin-api-emulator", "virtufin-api"),
    ],
    ids=["wheels", "editable", "client", "protos and emulator", "all but protos"],
)
def test_wheels_and_editable_installs_go_together(editable, built, tmp_path):
    python = environment(tmp_path / "venv", *sources(editable, built))
    execute(python, WORK, tmp_path)
    for name in DISTRIBUTIONS:
        where = execute(
            python, f"import virtufin.api.{LEAVES[name]} as m; print(m.__file__)", tmp_path
        )
        assert (str(PACKAGES) in where) is (name in editable), "what is imported is what was asked"


@pytest.fixture
def everything(built, tmp_path):
    return environment(tmp_path / "venv", *sources((), built))


@pytest.mark.parametrize("gone", DISTRIBUTIONS)
def test_uninstalling_one_leaves_the_others(gone, everything, tmp_path):
    run("uv", "pip", "uninstall", "--python", everything, gone)
    for name, leaf in LEAVES.items():
        find = f"import importlib.util as u; print(u.find_spec('virtufin.api.{leaf}'))"
        assert (execute(everything, find, tmp_path).strip() == "None") is (name == gone)
    needs_it = {
        "virtufin-api-protos": LEAVES,
        "virtufin-api": {"virtufin-api", "virtufin-api-dapr", "virtufin-api-emulator"},
    }.get(gone, {gone})
    for name in set(LEAVES) - set(needs_it):
        execute(everything, f"import virtufin.api.{LEAVES[name]}", tmp_path)


@pytest.mark.parametrize("way", ["wheel", "editable"])
def test_a_package_of_others_in_the_namespace_is_not_masked(way, everything, tmp_path):
    source = tmp_path / "foreign"
    for package in ("virtufin/other", "virtufin/api/other"):
        folder = source / "src" / package
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("HERE = True\n")
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "foreign"\nversion = "1"\n'
        '[tool.hatch.build.targets.wheel]\npackages = ["src/virtufin"]\n'
    )
    install(everything, *(["-e"] if way == "editable" else []), str(source))
    both = "from virtufin.other import HERE\nfrom virtufin.api.other import HERE\n"
    execute(everything, both + WORK, tmp_path)
    run("uv", "pip", "uninstall", "--python", everything, "foreign")
    execute(everything, WORK, tmp_path)


def test_the_extra_of_the_client_installs_the_plugin(built, tmp_path):
    python = environment(tmp_path / "venv", "--find-links", str(built), "virtufin-api[dapr]")
    execute(python, "from virtufin.api.client import DaprPublisher; DaprPublisher", tmp_path)


def test_both_shapes_of_dapr_together_are_refused(built, tmp_path):
    python = environment(tmp_path / "venv")
    with pytest.raises(AssertionError, match=r"unsatisfiable|No solution found"):
        install(python, "--find-links", str(built), "virtufin-api-dapr[grpc,ext-grpc]")


def test_the_ways_cover_each_distribution_both_as_wheel_and_as_editable():
    """The parameters above; so that a new distribution is not forgotten."""
    mark = test_wheels_and_editable_installs_go_together.pytestmark[0]
    mixed = mark.args[1][2:]
    for name, editable in itertools.product(DISTRIBUTIONS, (True, False)):
        assert any((name in some) is editable for some in mixed)
