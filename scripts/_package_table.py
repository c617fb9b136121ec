"""Measures what each distribution installs, and writes the page about it: docs/packaging.md."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import _versions

PAGE = _versions.ROOT / "docs/packaging.md"
PYTHON = "3.11"
WANTED = (
    "virtufin-api-protos",
    "virtufin-api-protos[grpc]",
    "virtufin-api",
    "virtufin-api-dapr",
    "virtufin-api-emulator",
    "virtufin-api[dapr,emulator]",
)
_TOP = f"""# Size and dependencies

What each distribution installs into an empty environment: Python {PYTHON} on Linux, the versions \
that all checks use. Compiled gRPC is nearly all of it. Measured by `scripts/nox -s package_table`.

| install | our wheel | everything | packages in all | which |
| --- | --- | --- | --- | --- |
"""
_END = """
The wheels are proven by `scripts/nox -s packaging`: what is in them, that two builds are the same \
bytes, that each works alone, beside the others as wheels and editable, beside packages of others \
in the namespace, and after another one is uninstalled; that mypy and pyright see their types. The \
size of our own wheels, the direct dependencies of each, and this page are held there too.
"""


@dataclasses.dataclass(frozen=True)
class Row:
    """The packages that are installed for one requirement."""

    wanted: str
    wheel: float
    """KiB of our own wheel."""
    everything: float
    """MiB of all that is installed."""
    packages: int
    others: tuple[str, ...]
    """The packages of others among them."""

    def __str__(self) -> str:
        cells = (
            f"`{self.wanted}`",
            f"{self.wheel:.0f} KiB",
            f"{self.everything:.1f} MiB",
            str(self.packages),
            ", ".join(self.others),
        )
        return f"| {' | '.join(cells)} |\n"


_ROW = re.compile(r"\| `(.*)` \| (\d+) KiB \| ([\d.]+) MiB \| (\d+) \| (.*) \|")


def written() -> list[Row]:
    """The rows of the page."""
    return [
        Row(wanted, float(wheel), float(everything), int(packages), tuple(others.split(", ")))
        for wanted, wheel, everything, packages, others in _ROW.findall(PAGE.read_text())
    ]


def measured(wanted: str, wheels: Path, target: Path) -> Row:
    """Returns what is installed into an empty folder, with our wheels from another one."""
    constraints = str(_versions.ROOT / "requirements/constraints.txt")
    fresh = [f"--refresh-package={name}" for name in _versions.DISTRIBUTIONS]
    # The same on whatever Python and machine this is measured.
    place = ["--python-version", PYTHON, "--python-platform", "linux", "--target", str(target)]
    where = ["--find-links", str(wheels), "-c", constraints]
    _uv("pip", "install", "--python", sys.executable, *place, *where, *fresh, wanted)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    installed = sorted(path.name.partition("-")[0] for path in target.glob("*.dist-info"))
    name = wanted.partition("[")[0]
    [wheel] = wheels.glob(f"{name.replace('-', '_')}-[0-9]*.whl")
    others = [item.replace("_", "-") for item in installed if not item.startswith("virtufin_")]
    return Row(wanted, wheel.stat().st_size / 1024, size / 2**20, len(installed), tuple(others))


def main() -> int:
    """Writes the page."""
    with tempfile.TemporaryDirectory() as folder:
        wheels = Path(folder) / "wheels"
        for name in _versions.DISTRIBUTIONS:
            source = str(_versions.ROOT / "packages" / name)
            _uv("build", "--wheel", source, "--out-dir", str(wheels))
        rows = [
            str(measured(wanted, wheels, Path(folder) / str(number)))
            for number, wanted in enumerate(WANTED)
        ]
    PAGE.write_text(_TOP + "".join(rows) + _END)
    print("".join(rows), end="")
    return 0


def _uv(*arguments: str) -> None:
    subprocess.run(["uv", *arguments, "--quiet"], check=True)


if __name__ == "__main__":
    sys.exit(main())
