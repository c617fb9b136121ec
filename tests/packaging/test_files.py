"""The files of a release: what is in them, whose they are, and that they are always the same."""

import calendar
import csv
import email
import io
import os
import tarfile
import zipfile

import pytest
from packaging.metadata import Metadata

from tests.packaging.conftest import build, run, wheel
from tests.workspace import DISTRIBUTIONS, PACKAGES, metadata, pyproject

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]

WHEEL_KIB = {
    "virtufin-api-protos": 35,
    "virtufin-api": 165,
    "virtufin-api-dapr": 90,
    "virtufin-api-emulator": 150,
}
"""The largest size of a wheel. Installers fetch it whole, as the index has no other metadata."""


def names(path):
    return zipfile.ZipFile(path).namelist()


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
class TestEach:
    def test_has_the_files_of_its_source_and_no_others(self, distribution, built):
        source = PACKAGES / distribution / "src"
        wanted = {
            str(path.relative_to(source))
            for path in source.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        there = {name for name in names(wheel(built, distribution)) if ".dist-info/" not in name}
        assert there == wanted, "hatch leaves out or adds files: see [tool.hatch.build.targets]"

    def test_puts_no_file_into_the_shared_namespace(self, distribution, built):
        for name in names(wheel(built, distribution)):
            if ".dist-info/" in name:
                continue
            assert name.startswith("virtufin/api/"), f"{name}: only below virtufin/api/"
            assert name.count("/") > 2, (
                f"{name} would make the namespace its own and hide the other distributions where "
                "they are installed elsewhere: remove it"
            )

    def test_has_its_license_and_is_marked_as_typed(self, distribution, built):
        files = names(wheel(built, distribution))
        assert any(name.endswith("licenses/LICENSE") for name in files)
        assert any(name.endswith("/py.typed") for name in files)

    def test_has_the_metadata_of_its_project(self, distribution, built):
        project = metadata(distribution)
        archive = zipfile.ZipFile(wheel(built, distribution))
        [name] = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
        found = Metadata.from_email(archive.read(name), validate=True)
        assert (found.name, str(found.version)) == (distribution, project["version"])
        assert str(found.requires_python) == project["requires-python"]
        assert found.license_expression == "MIT"
        assert found.license_files == ["LICENSE"]
        assert found.description_content_type == "text/markdown"
        assert found.description == (PACKAGES / distribution / "README.md").read_text()
        direct = [need for need in found.requires_dist if "extra ==" not in str(need)]
        assert len(direct) == len(project["dependencies"])
        assert set(found.provides_extra or []) == set(project.get("optional-dependencies", {}))
        pins = {need.name: str(need.specifier) for need in found.requires_dist}
        siblings = {name: pin for name, pin in pins.items() if name in DISTRIBUTIONS}
        assert set(siblings.values()) <= {f"=={project['version']}"}

    def test_its_sdist_builds_the_same_wheel(self, distribution, built, tmp_path):
        [sdist] = built.glob(f"{distribution.replace('-', '_')}-[0-9]*.tar.gz")
        with tarfile.open(sdist) as archive:
            archive.extractall(tmp_path, filter="data")
        [folder] = tmp_path.iterdir()
        again = tmp_path / "again"
        # A build takes its times from SOURCE_DATE_EPOCH, as the first one did.
        epoch = {"SOURCE_DATE_EPOCH": str(_time(wheel(built, distribution)))}
        run(
            "uv", "build", "--wheel", str(folder), "--out-dir", str(again),
            env={**os.environ, **epoch},
        )  # fmt: skip
        first = wheel(built, distribution)
        assert (again / first.name).read_bytes() == first.read_bytes()

    def test_its_wheel_stays_small(self, distribution, built):
        size = wheel(built, distribution).stat().st_size / 1024
        assert size <= WHEEL_KIB[distribution], (
            f"{size:.0f} KiB: find out what came in; if it must, raise WHEEL_KIB and run "
            "`scripts/nox -s package_table`"
        )

    def test_builds_with_what_it_declares(self, distribution):
        build_system = pyproject(distribution)["build-system"]
        assert build_system["build-backend"] == "hatchling.build"


def test_two_builds_are_the_same_bytes(built, tmp_path):
    """Elsewhere, with other permissions and other times."""
    before = os.umask(0o077)
    try:
        again = build(tmp_path / "elsewhere", tmp_path / "dist")
    finally:
        os.umask(before)
    there = {path.name for path in built.iterdir() if path.suffix in (".whl", ".gz")}
    assert len(there) == 2 * len(DISTRIBUTIONS)
    for name in there:
        assert (again / name).read_bytes() == (built / name).read_bytes(), name


def test_no_file_is_owned_by_two_distributions(built):
    owners = {}
    for distribution in DISTRIBUTIONS:
        archive = zipfile.ZipFile(wheel(built, distribution))
        [record] = [n for n in archive.namelist() if n.endswith(".dist-info/RECORD")]
        for path, *_ in csv.reader(io.StringIO(archive.read(record).decode())):
            assert path not in owners, f"{path} is in {owners[path]} and in {distribution}"
            owners[path] = distribution
    assert len(owners) > 100


def _time(path):
    """The seconds since 1970 that a wheel's files carry; a zip rounds them to two."""
    return calendar.timegm((*zipfile.ZipFile(path).infolist()[0].date_time, 0, 0, 0))


def test_metadata_says_no_more_than_it_can_be_read(built):
    for distribution in DISTRIBUTIONS:
        archive = zipfile.ZipFile(wheel(built, distribution))
        [name] = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
        version = email.message_from_bytes(archive.read(name))["Metadata-Version"]
        assert version == "2.4", "Twine 6 and others refuse later ones"
