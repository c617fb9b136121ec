"""Generation of the protobuf code, shared by `generate_protos` and `create_client.py`.

Standard library only, so that it runs under any Python from 3.10 on; the generator itself lives
in an environment of its own in the cache folder.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import _venv

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"

# The generator's version is the floor of everyone who installs the generated code:
# - grpcio-tools 1.63.2 is the newest whose messages load on protobuf 5.26 and whose stubs only
#   warn on an older grpcio; 1.64 and later raise the protobuf floor release by release.
# - mypy-protobuf 5 needs a newer protobuf than this grpcio-tools allows; the stubs that protoc
#   writes itself are not clean under mypy strict.
# - grpcio-tools 1.63 imports pkg_resources, which setuptools dropped in 81.
REQUIREMENTS = (
    "grpcio-tools==1.63.2",
    "mypy-protobuf==3.7.0",
    "protobuf==5.29.6",
    "setuptools==80.10.2",
    "types-protobuf==7.35.1.20260906",
)
GENERATOR_PYTHONS = ((3, 11), (3, 12), (3, 10))

PACKAGES = {
    "virtufin/api/protos": ROOT / "packages/virtufin-api-protos/src",
    "virtufin/api/emulator/_samples": ROOT / "packages/virtufin-api-emulator/src",
}


class GeneratorUnavailableError(_venv.SetupError):
    """No interpreter that can run the pinned generator."""


def _version_of(python: str) -> tuple[int, int] | None:
    probe = [python, "-c", "import sys; print(*sys.version_info[:2])"]
    try:
        out = subprocess.run(probe, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    major, minor = out.split()
    return int(major), int(minor)


def find_python() -> str:
    """An interpreter that can run the pinned generator: this one, one on PATH, or pyenv's."""
    if sys.version_info[:2] in GENERATOR_PYTHONS:
        return sys.executable
    candidates = [f"python{major}.{minor}" for major, minor in GENERATOR_PYTHONS]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    candidates += [str(path) for path in sorted(pyenv.glob("3.1[0-2]*/bin/python"))]
    for candidate in candidates:
        if _version_of(candidate) in GENERATOR_PYTHONS:
            return candidate
    raise GeneratorUnavailableError(
        "the protobuf generator needs Python 3.10, 3.11 or 3.12 (grpcio-tools 1.63.2 has no wheels "
        "for later ones); none was found on PATH or in pyenv"
    )


def environment() -> Path:
    """The generator's virtual environment, made on first use."""
    return _venv.ensure("generator", find_python(), REQUIREMENTS)


def generate(package: str, destination: Path) -> list[Path]:
    """Generates one of `PACKAGES` below `destination`; returns the files written."""
    home = environment()
    destination.mkdir(parents=True, exist_ok=True)
    sources = sorted((PROTOS / package).glob("*.proto"))
    command = [str(home / "bin/python"), "-m", "grpc_tools.protoc", f"-I{PROTOS}"]
    plugins = ("protoc-gen-mypy", "protoc-gen-mypy_grpc")
    command += [f"--plugin={name}={home / 'bin' / name}" for name in plugins]
    for option in ("python_out", "grpc_python_out", "mypy_out", "mypy_grpc_out"):
        target = f"quiet:{destination}" if option.startswith("mypy") else str(destination)
        command.append(f"--{option}={target}")
    written = []
    for source in sources:
        # One at a time: the sample backends define messages of the same names.
        subprocess.run([*command, str(source)], check=True)
        has_services = re.search(r"^service ", source.read_text(), re.MULTILINE)
        for suffix in ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi"):
            path = destination / package / (source.stem + suffix)
            if "_grpc" in suffix and not has_services:
                path.unlink()
                continue
            path.write_text(_adapted(path.read_text(), package))
            written.append(path)
    return written


def _adapted(text: str, package: str) -> str:
    """Moves a generated module out of protobuf's default pool.

    Other packages carry `io.cloudevents.v1` or messages of package `virtufin` too, and in one pool
    whichever comes second fails to import.
    """
    default = "_descriptor_pool.Default()"
    if default not in text:
        return text
    imports = "from google.protobuf import descriptor_pool as _descriptor_pool"
    if imports not in text or text.count(default) != 1:
        raise RuntimeError("the generator's output has changed: its descriptor pool was not found")
    if package == "virtufin/api/protos":
        text = text.replace(imports, "from virtufin.api.protos import _pool")
        return text.replace(default, "_pool.POOL")
    # The sample backends have messages of the same names: one pool for each file.
    return text.replace(default, "_descriptor_pool.DescriptorPool()")
