"""Measures what each distribution installs, and writes the page about it: docs/packaging.md."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import _versions

PAGE = _versions.ROOT / "docs/packaging.md"
WANTED = (
    "virtufin-api-protos",
    "virtufin-api-protos[grpc]",
    "virtufin-api",
    "virtufin-api-dapr",
    "virtufin-api-emulator",
    "virtufin-api[dapr,emulator]",
)
_TOP = """# Size and dependencies

What each distribution installs into an empty environment: Python {python} on Linux, the versions \
that all checks use. Compiled gRPC is nearly all of it. Measured by `scripts/nox -s package_table`.

| install | our wheel | everything | packages in all | which |
| --- | --- | --- | --- | --- |
"""
_END = """
The wheels are proven by `scripts/nox -s packaging`: what is in them, that two builds are the same \
bytes, that each works alone, beside the others as wheels and editable, beside packages of others \
in the namespace, and after another one is uninstalled; that mypy and pyright see their types. The \
size of our own wheels and the direct dependencies of each are held there too.
"""


def main() -> int:
    """Writes the page."""
    lines = [_TOP.format(python=f"{sys.version_info.major}.{sys.version_info.minor}")]
    with tempfile.TemporaryDirectory() as folder:
        wheels = Path(folder) / "wheels"
        for name in _versions.DISTRIBUTIONS:
            source = str(_versions.ROOT / "packages" / name)
            _uv("build", "--wheel", source, "--out-dir", str(wheels))
        for number, wanted in enumerate(WANTED):
            lines.append(_line(wanted, wheels, Path(folder) / str(number)))
    PAGE.write_text("".join(lines) + _END)
    print("".join(lines[1:]), end="")
    return 0


def _line(wanted: str, wheels: Path, target: Path) -> str:
    constraints = str(_versions.ROOT / "requirements/constraints.txt")
    fresh = [f"--refresh-package={name}" for name in _versions.DISTRIBUTIONS]
    where = ["--target", str(target), "--find-links", str(wheels), "-c", constraints]
    _uv("pip", "install", "--python", sys.executable, *where, *fresh, wanted)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    installed = sorted(path.name.partition("-")[0] for path in target.glob("*.dist-info"))
    name = wanted.partition("[")[0]
    [wheel] = wheels.glob(f"{name.replace('-', '_')}-[0-9]*.whl")
    others = [item.replace("_", "-") for item in installed if not item.startswith("virtufin_")]
    cells = [
        f"`{wanted}`",
        f"{wheel.stat().st_size / 1024:.0f} KiB",
        f"{size / 2**20:.1f} MiB",
        str(len(installed)),
        ", ".join(others),
    ]
    return f"| {' | '.join(cells)} |\n"


def _uv(*arguments: str) -> None:
    subprocess.run(["uv", *arguments, "--quiet"], check=True)


if __name__ == "__main__":
    sys.exit(main())
