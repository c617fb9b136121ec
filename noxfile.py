"""Every check of this project by name: `scripts/nox --list`.

`scripts/test` runs what is tagged quick, `.ci/run` the rest too.
"""

from __future__ import annotations

import functools
import os
import random
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nox
from packaging.requirements import Requirement

sys.path.insert(0, str(Path(__file__).parent / "scripts"))
import _matrix
import _newer_pythons
import _records

nox.needs_version = ">=2026.10.20"
nox.options.default_venv_backend = "uv"
nox.options.error_on_missing_interpreters = True
nox.options.tags = ["quick"]

DISTRIBUTIONS = [
    "virtufin-api-protos",
    "virtufin-api",
    "virtufin-api-dapr",
    "virtufin-api-emulator",
]
SOURCES = [f"packages/{name}/src" for name in DISTRIBUTIONS]
SCRIPTS = ["noxfile.py", "scripts", "scripts/generate_protos"]
CONSTRAINTS = "requirements/constraints.txt"
NEEDED = {
    "protos": DISTRIBUTIONS[:1],
    "client": DISTRIBUTIONS[:2],
    "dapr": DISTRIBUTIONS[:3],
    "emulator": [*DISTRIBUTIONS[:2], "virtufin-api-emulator"],
    "together": DISTRIBUTIONS,
}
"""The distributions of a subject of the matrix, dependencies first."""
BESIDE = {"client": ("virtufin-api-emulator",)}
"""Distributions that the tests of a subject need beside it."""
# uv keeps what it unpacked from a wheel by name and version, and ours change without a new version.
FRESH = [f"--refresh-package={name}" for name in DISTRIBUTIONS]
NO_LOGIN = {f"VIRTUFIN_PACKAGES_{what}": None for what in ("USER", "TOKEN")}
"""Keeps the login of a release from what an installed package may run."""
REAL_TESTS = ["tests/e2e", "tests/emulator/test_real_parts.py", "tests/emulator/test_state.py"]
"""Tests that run on a real sidecar and Redis."""
MISSING = [version for version in _matrix.NEWER if not _newer_pythons.find(version)]
"""New Pythons that this machine lacks; the others are expected."""
AVAILABLE = [version for version in _matrix.PYTHONS if version not in MISSING]
NEWEST = AVAILABLE[-1]
"""From 3.14 on, branch coverage costs next to nothing."""
COVERAGE = Path(".nox/coverage-data").absolute()
"""A folder for each session that measures coverage."""
WORKERS: tuple[str, ...] = ("-n", str(2 * (os.cpu_count() or 1)), "--dist", "worksteal")
"""Tests run in two processes a core, as most of them wait most of the time."""
PROSE = [
    "packages",
    "docs",
    "scripts",
    "benchmarks",
    "tests",
    "noxfile.py",
    "README.md",
    "CONTRIBUTING.md",
]
"""Texts whose words lint checks."""
COVERED = {"virtufin-api": 95, "virtufin-api-dapr": 95, "virtufin-api-emulator": 95}
"""Branch coverage in per cent below which the checks fail."""


def install(session: nox.Session, *groups: str) -> None:
    """Installs all distributions as editable, and groups of pyproject.toml; prints the versions."""
    command = [item for name in DISTRIBUTIONS for item in ("-e", f"packages/{name}")]
    install_only(session, *groups, more=command)


def install_only(
    session: nox.Session,
    *groups: str,
    more: list[str] | None = None,
    constraints: str | None = CONSTRAINTS,
) -> dict[str, str]:
    """Installs groups of pyproject.toml and `more`; prints the versions, and returns them."""
    command = [item for group in groups for item in ("--group", f"pyproject.toml:{group}")]
    if constraints:
        command += ["-c", constraints]
    session.install("--quiet", *command, *(more or []), env=NO_LOGIN)
    versions = session.run("uv", "pip", "freeze", "--quiet", external=True, silent=True)
    found = [line for line in str(versions).splitlines() if "==" in line]
    session.log(f"Python {session.run('python', '-V', silent=True)}".strip() + " with")
    session.log(", ".join(found))
    return dict(line.split("==") for line in found)


@nox.session(tags=["quick"])
def lint(session: nox.Session) -> None:
    """Style, words, order of imports, and which module may import which."""
    install_only(session, "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    # From the sources, which takes less time than to install them.
    sources = {"PYTHONPATH": os.pathsep.join(SOURCES)}
    session.run("lint-imports", "--no-cache", "--no-logo", env=sources)
    session.run("python", "scripts/_words.py", *PROSE)
    session.run("python", "scripts/_surface.py", "--check")
    breaking_changes(session)


@nox.session
def surface(session: nox.Session) -> None:
    """Writes the files of public names and signatures, which lint compares."""
    install_only(session, "lint")
    session.run("python", "scripts/_surface.py")
    breaking_changes(session)


def breaking_changes(session: nox.Session) -> None:
    """Lists what would break callers since the release before this commit, if there is one."""
    described = session.run(
        "git", "describe", "--tags", "--abbrev=0", "--match=v*", "HEAD^",
        external=True, silent=True, success_codes=[0, 128],
    )  # fmt: skip
    tag = str(described).strip()
    if not tag.startswith("v"):
        session.log("LEFT OUT: breaking changes since a release, as this clone has no tag of one")
        return
    search = [part for source in SOURCES for part in ("--search", source)]
    for package in ("protos", "client", "dapr", "emulator"):
        check = ["griffe", "check", f"virtufin.api.{package}", "--against", tag, *search]
        session.run(*check, success_codes=[0, 1])


@nox.session(tags=["quick"])
def types(session: nox.Session) -> None:
    """Everything shipped under mypy strict, for each platform, and what builds it."""
    install(session, "types")
    for platform in ("linux", "darwin", "win32"):
        checked = [*SOURCES, *SCRIPTS] if platform == "linux" else SOURCES
        session.run(
            "mypy", "--platform", platform, "--cache-dir", f".mypy_cache/{platform}", *checked
        )


@nox.session(tags=["quick"], venv_backend="none")
def protos(session: nox.Session) -> None:
    """The committed generated code is what the pinned generator writes."""
    optional = [] if "--strict" in session.posargs else ["--optional"]
    session.run(sys.executable, "scripts/generate_protos", "--check", *optional)


def real_parts(session: nox.Session, *, required: bool) -> dict[str, str]:
    """Variables that say where daprd and Redis are; says what is left out where they are missing.

    Required ones are got, and tests that need them fail without.
    """
    if required:
        said = session.run("scripts/real_parts", external=True, silent=True, stderr=None)
    else:
        found = (0, 1)
        said = session.run(
            "scripts/real_parts", "--find", external=True, silent=True, success_codes=found
        )
    lines = [line.partition("=") for line in str(said).splitlines()]
    parts = {name: path for name, found, path in lines if found}
    if required:
        return {**parts, "VIRTUFIN_REAL_PARTS": "required"}
    if len(parts) < 2:
        session.log(
            "LEFT OUT: the tests with a real sidecar and Redis; scripts/real_parts gets them"
        )
    return parts


@nox.session(tags=["quick"])
def tests(session: nox.Session) -> None:
    """The tests on this Python, in parallel and random order; with arguments those they pick."""
    install(session, "test", "dapr-extension")
    if session.posargs:
        session.run("pytest", *session.posargs, env=real_parts(session, required=False))
        return
    # Before the tests, because a test that sets the generator up may run out of time. Those tests
    # say themselves what they leave out without it.
    set_up = (sys.executable, "scripts/generate_protos", "--set-up", "--optional")
    session.run(*set_up, external=True, success_codes=(0, 1))
    session.log("LEFT OUT: tests with a real sidecar and Redis; `scripts/nox -s dapr` runs them")
    session.log("LEFT OUT: tests that take minutes; `scripts/nox -s heavy packaging` runs them")
    parallel(session, "not heavy", env={"VIRTUFIN_REAL_PARTS": "none"})


@nox.session
def quick(session: nox.Session) -> None:
    """The part of the tests that takes a minute, for people while they work."""
    install(session, "test", "dapr-extension")
    session.log(
        "LEFT OUT: tests of amounts and times, packages, releases; `scripts/test` runs them"
    )
    folders = [f"tests/{name}" for name in ("protos", "client", "dapr", "emulator")]
    env = {"VIRTUFIN_REAL_PARTS": "none"}
    parallel(session, "not heavy and not slow", *folders, env=env, alone=False)


def parallel(
    session: nox.Session,
    marked: str,
    *arguments: str,
    env: dict[str, str] | None = None,
    measure: bool = False,
    debug: bool = False,
    alone: bool = True,
    reports: Path | None = None,
) -> None:
    """Runs tests in parallel, then those that need the machine to themselves.

    Args:
        session: Has pytest installed.
        marked: Which of them, as pytest's `-m` takes it; empty for all.
        arguments: Folders, and options of pytest.
        env: Variables for the tests.
        measure: Measure coverage.
        debug: Use asyncio's debug mode.
        alone: Run those that need the machine to themselves, too.
        reports: A folder for the results as JUnit XML, emptied first.
    """
    if reports:
        shutil.rmtree(reports, ignore_errors=True)
    pytest = ["pytest", "--quiet"]
    if measure:
        data = COVERAGE / Path(session.virtualenv.location).name
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir(parents=True)
        env = {**(env or {}), "COVERAGE_FILE": str(data / "data")}
        pytest = ["coverage", "run", "-m", *pytest]
    if debug:
        pytest += ["-o", "asyncio_debug=true"]
    marked = f"({marked}) and " if marked else ""
    # Chosen here, so that it is printed.
    pytest.append(f"--randomly-seed={random.randrange(10**6)}")
    for some, options, codes in (
        ("not alone", WORKERS, [0]),
        ("alone", (), [0, 5]),  # 5: no test has this mark
    ):
        if some == "alone" and not alone:
            continue
        if arguments == ("tests/protos",):
            options = ()  # A second of work; processes take longer to start.
        if reports:
            options = (*options, f"--junit-xml={reports / some}.xml")
        command = [*pytest, "-m", marked + some, *options, *arguments]
        session.run(*command, env=env, success_codes=codes)


@nox.session
def coverage(session: nox.Session) -> None:
    """Branch coverage of what the rows on the newest Python and the real sidecar have run."""
    install_only(session, "test")
    measured = [f"rows({row.name})" for row in _matrix.each_change(AVAILABLE) if is_measured(row)]
    files: list[str] = []
    for name in (*measured, "dapr"):
        folder = COVERAGE / re.sub(r"\W+", "-", name).strip("-")
        found = [str(path) for path in folder.glob("data.*")]
        if not found:
            session.error(f"nothing was measured by {name}; run `scripts/nox -s '{name}'` first")
        files += found
    env = {"COVERAGE_FILE": str(COVERAGE / "all")}
    session.run("coverage", "combine", "--keep", "--quiet", *files, env=env, silent=True)
    for name, floor in COVERED.items():
        session.log(f"branch coverage of {name}, at least {floor} %")
        include = f"--include=packages/{name}/*"
        session.run("coverage", "report", include, f"--fail-under={floor}", env=env)


def row_parameters(rows: Iterable[_matrix.Row]) -> list[Any]:
    """A session for each row, on its Python."""
    return [nox.param(row.python, row, id=row.name) for row in rows]


@nox.session
@nox.parametrize("python,row", row_parameters(_matrix.ROWS))
def matrix(session: nox.Session, row: _matrix.Row) -> None:
    """All tests of a distribution as a wheel, on a Python, with versions of what it needs."""
    if session.posargs:
        install_row(session, row)
        session.run("pytest", *row.folders, *session.posargs, env=row_environment(row))
        return
    _records.begin(row.name)
    got = install_row(session, row)
    reports = Path(session.virtualenv.location) / "reports"
    debug = bool(row.edge)
    env = row_environment(row)
    parallel(session, "not heavy", *row.folders, env=env, debug=debug, reports=reports)
    record(session, row, got, reports)


@nox.session
@nox.parametrize("python,row", row_parameters(_matrix.each_change(AVAILABLE)))
def rows(session: nox.Session, row: _matrix.Row) -> None:
    """The part of the matrix that runs on each change; the newest rows measure coverage."""
    measure = is_measured(row)
    install_row(session, row)
    if session.posargs:
        session.run("pytest", *session.posargs, env=row_environment(row))
        return
    all_of_it = measure or row.each_change == "all"
    marked = "not heavy" if all_of_it else "not heavy and not slow"
    # scripts/test has run those that need the machine to themselves, and another lane runs now.
    env = row_environment(row)
    # The mode doubles the CPU. The plugin is what works across threads, which the mode watches;
    # the others run under it before a release.
    debug = measure and row.subject == "dapr"
    # The scripts are of no row's wheels: scripts/test runs their tests on this machine's Python,
    # and the matrix on each other one before a release.
    folders = [folder for folder in row.folders if folder != "tests/release"]
    parallel(session, marked, *folders, env=env, measure=measure, debug=debug, alone=False)


def is_measured(row: _matrix.Row) -> bool:
    """Returns whether a row of each change measures coverage."""
    return (row.python, row.versions) == (NEWEST, "latest") and row.subject != "protos"


def row_environment(row: _matrix.Row) -> dict[str, str]:
    """Variables for the tests of a row."""
    env = {"VIRTUFIN_REAL_PARTS": "none"}
    return {**env, "VIRTUFIN_TEST_LOOP": "uvloop"} if row.versions == "uvloop" else env


def install_row(session: nox.Session, row: _matrix.Row) -> dict[str, str]:
    """Installs the wheels and the versions that a row is about; returns the versions it got."""
    wheels = build_wheels()
    ours = NEEDED[row.subject]
    wanted, constraints = [*ours], None
    if row.versions == "lowest":
        constraints = str(wheels / f"{row.name}.txt")
        # The floors are given, as the resolver also looks for the newest of what they need in turn
        # and may end with other versions.
        floors = wheels / f"{row.name}.floors.txt"
        floors.write_text("".join(f"{name}=={v}\n" for name, v in claimed(row).items()))
        session.run(
            "uv", "pip", "compile", "--quiet",
            *(f"packages/{name}/pyproject.toml" for name in (*ours, *BESIDE.get(row.subject, ()))),
            *(["--extra", "grpc"] if row.subject == "protos" else []),
            "--python-version", row.python, "--resolution", "lowest-direct",
            "--only-binary", ":all:", "--find-links", str(wheels), *FRESH,
            "--constraints", str(floors), "--output-file", constraints,
            external=True, silent=True,
        )  # fmt: skip
    else:
        wanted.append("--upgrade")
    if row.subject == "protos":
        wanted.append("virtufin-api-protos[grpc]")
    wanted += BESIDE.get(row.subject, ())
    if row.subject == "emulator" and row.versions == "latest":
        wanted.append("virtufin-api-emulator[dapr]")
    if row.subject == "together":
        wanted.append("virtufin-api-dapr[grpc]")
    if row.pin:
        name, version = row.pin
        wanted.append(f"{name}=={version}.*")
        if name == "dapr":
            extra = _matrix.SHAPES[version]
            wanted.append(f"virtufin-api-dapr[{extra}]")
            if extra == "ext-grpc":
                wanted.append(f"dapr-ext-grpc=={version}.*")  # its metadata allows mixtures
    more = [*FRESH, "--find-links", str(wheels), *wanted]
    groups = ["test", "uvloop"] if row.versions == "uvloop" else ["test"]
    got = install_only(session, *groups, more=more, constraints=constraints)
    for name, version in claimed(row).items():
        if got[name] != version and not got[name].startswith(f"{version}."):
            session.error(f"{row.name} must have {name} {version}, it has {got[name]}")
    module = f"virtufin.api.{'protos' if row.subject == 'together' else row.subject}"
    installed = f"import {module} as m; assert 'site-packages' in m.__file__, m.__file__"
    session.run("python", "-c", installed, silent=True)
    return got


def claimed(row: _matrix.Row) -> dict[str, str]:
    """The versions that a row must have, by what the distributions declare."""
    if row.pin:
        return dict([row.pin])
    if row.versions != "lowest":
        return {}
    floors: dict[str, str] = {}
    for distribution in NEEDED[row.subject]:
        project = nox.project.load_toml(f"packages/{distribution}/pyproject.toml")["project"]
        extra = project["optional-dependencies"]["grpc"] if row.subject == "protos" else []
        for requirement in map(Requirement, [*project["dependencies"], *extra]):
            here = {"python_version": row.python}
            if requirement.name not in ("protobuf", "grpcio", "dapr"):
                continue  # the others follow these three
            if requirement.marker is None or requirement.marker.evaluate(here):
                [floor] = [s.version for s in requirement.specifier if s.operator == ">="]
                floors[requirement.name] = floor  # that of a later one is higher
    return floors


def record(session: nox.Session, row: _matrix.Row, got: dict[str, str], reports: Path) -> None:
    """Keeps what a row has proven, for `matrix_table`."""
    suites = [suite for path in reports.iterdir() for suite in ET.parse(path).iter("testsuite")]
    python = str(session.run("python", "-V", silent=True)).split()[1]
    skipped = sum(int(suite.get("skipped", 0)) for suite in suites)
    passed = sum(int(suite.get("tests", 0)) for suite in suites) - skipped
    needs = {name: got[name] for name in _matrix.SHOWN if name in got}
    proven = {"python": python, "versions": needs, "passed": passed, "skipped": skipped}
    _records.prove(row.name, proven)


@nox.session(venv_backend="none")
def matrix_table(session: nox.Session) -> None:
    """Writes what the last rows have proven into the documentation."""
    session.run(sys.executable, "scripts/_matrix_table.py", *session.posargs)


@functools.cache
def build_wheels() -> Path:
    """Wheels of all distributions in a fresh folder, once a run."""
    folder = Path(".nox/wheels").absolute()
    shutil.rmtree(folder, ignore_errors=True)
    for name in DISTRIBUTIONS:
        build = ["uv", "build", "--quiet", "--wheel", f"packages/{name}"]
        subprocess.run([*build, "--out-dir", str(folder)], check=True)
    return folder


@nox.session
def heavy(session: nox.Session) -> None:
    """The tests of the client that take long, the whole grid of faults among them."""
    install(session, "test")
    if session.posargs:
        session.run("pytest", *session.posargs)
        return
    parallel(session, "heavy", "tests/client", "tests/chaos", alone=False)


@nox.session
def alone(session: nox.Session) -> None:
    """The long tests that need the machine to themselves."""
    install(session, "test")
    tests = session.posargs or ["-m", "heavy and alone", "tests/client"]
    session.run("pytest", "--quiet", *tests)


@nox.session
def wires(session: nox.Session) -> None:
    """The tests of the client against gateways of the other generations."""
    install(session, "test")
    # The earlier one has streams of its own, heartbeats among them; the other only other numbers,
    # which no amount and no time depends on.
    for wire, marked in (("moved-numbers", "not heavy and not slow"), ("earlier", "not heavy")):
        env = {"VIRTUFIN_TEST_WIRE": wire}
        if session.posargs:
            session.run("pytest", *session.posargs, env=env)
            continue
        parallel(session, marked, "tests/client", "tests/chaos", env=env, alone=False)


@nox.session(python=NEWEST)
def dapr(session: nox.Session) -> None:
    """Everything that needs a real sidecar and Redis, which are got where they are missing."""
    install(session, "test", "dapr-extension")
    env = real_parts(session, required=True)
    if session.posargs:
        session.run("pytest", *session.posargs, env=env)
        return
    # A file a process: the tests of one share their sidecars.
    options = ("--dist", "loadfile")
    parallel(session, "", *REAL_TESTS, *options, env=env, measure=True, alone=False)


@nox.session
def packaging(session: nox.Session) -> None:
    """Builds the distributions and installs each alone into a bare environment."""
    install(session, "test", "build", "proofs")
    tests = session.posargs or ["-m", "heavy", "tests/packaging"]
    session.run("pytest", "--quiet", *tests)


@nox.session
def bump_version(session: nox.Session) -> None:
    """Sets the version everywhere and dates the changelog."""
    install_only(session, "release")
    session.run("python", "scripts/_bump.py", *session.posargs)


@nox.session
def release(session: nox.Session) -> None:
    """The steps of a release: verify, build, check, publish, smoke, or all."""
    install_only(session, "release")
    session.run("python", "scripts/_release.py", *(session.posargs or ["--help"]))


@nox.session
def release_rehearsal(session: nox.Session) -> None:
    """Releases the last commit to a Gitea of its own, and installs it back."""
    install_only(session, "release")
    session.run("python", "scripts/_rehearsal.py", interrupt_timeout=30)


@nox.session
def prereleases(session: nox.Session) -> None:
    """The tests with the newest pre-releases of what we need; reports, and blocks nothing."""
    ours = [item for name in DISTRIBUTIONS for item in ("-e", f"packages/{name}")]
    more = ["--upgrade", "--prerelease", "allow", *ours]
    install_only(session, "test", "dapr-extension", more=more, constraints=None)
    session.run("pytest", "-m", "not heavy", *session.posargs)


@nox.session
def package_table(session: nox.Session) -> None:
    """Measures what each distribution installs, and writes that into the documentation."""
    install_only(session, "release")
    session.run("python", "scripts/_package_table.py")


@nox.session(tags=["quick"])
def docs(session: nox.Session) -> None:
    """Builds the documentation strictly; with --serve shows it while you write."""
    install(session, "docs")
    env = {"NO_MKDOCS_2_WARNING": "true"}
    if session.posargs:
        session.run("mkdocs", *(arg.lstrip("-") for arg in session.posargs), env=env)
    else:
        # Not --quiet: that hides warnings from --strict as well.
        session.run("mkdocs", "build", "--strict", "--clean", env=env)


@nox.session
def demo(session: nox.Session) -> None:
    """Runs every example of the documentation; with `dapr` those on a real sidecar and Redis."""
    install(session)
    script, arguments, env = "scripts/_demo.py", session.posargs, {}
    if session.posargs == ["dapr"]:
        script, arguments, env = "scripts/_demo_dapr.py", [], real_parts(session, required=False)
    # Long enough for the demo to end its own processes after Ctrl-C.
    session.run("python", script, *arguments, env=env, interrupt_timeout=15)


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Costs as ratios of paired runs; nothing fails by them. `-- --help` shows the subjects."""
    install(session, "benchmarks", "dapr-extension")
    env = real_parts(session, required=False)
    session.run("python", "benchmarks/run.py", *session.posargs, env=env)


@nox.session(venv_backend="none")
def lock(session: nox.Session) -> None:
    """Recompiles the versions that all checks use."""
    groups = nox.project.load_toml("pyproject.toml")["dependency-groups"]
    session.run(
        "uv", "pip", "compile", "--quiet", "requirements/constraints.in",
        *(f"--group=pyproject.toml:{group}" for group in groups),
        "--universal", "--python-version", _matrix.PYTHONS[0], "--no-annotate", "--no-header",
        "--no-emit-index-url", "--no-emit-find-links",
        *(f"--no-emit-package={name}" for name in DISTRIBUTIONS),
        "--output-file", CONSTRAINTS, *session.posargs,
        external=True, silent=True,
    )  # fmt: skip
