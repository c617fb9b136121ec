"""Gets Pythons newer than this machine's own, and prints where they are.

The packages of Debian's unstable suite are downloaded and unpacked into the cache folder, beside
the system and without touching it; no root is needed. Their C library is newer than the system's,
so patchelf makes each interpreter load the libraries that were unpacked with it.
Standard library only, so that this runs under any Python from 3.10 on.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import _matrix
import _venv

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SOURCES = Path("/etc/apt")
LOADERS = {"x86_64": "usr/lib64/ld-linux-x86-64.so.2", "aarch64": "usr/lib/ld-linux-aarch64.so.1"}
"""The loader of programs below the unpacked packages, by machine."""


class MissingPythonError(RuntimeError):
    """A Python is not available on this machine; the text says why."""


def folder() -> Path:
    """Holds one link for each interpreter that was got, and is a good end of PATH."""
    return _root() / "bin"


def find(version: str) -> Path | None:
    """Returns the interpreter of a version such as `3.15`, if it is here and starts."""
    return next(filter(_starts, _candidates(version)), None)


def _candidates(version: str) -> Iterator[Path]:
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    installed = (str(path / "bin") for path in sorted(pyenv.glob(f"{version}.*")))
    # The first on PATH may be a shim of pyenv that runs nothing.
    for place in (*os.environ.get("PATH", "").split(os.pathsep), *installed, str(folder())):
        if path := shutil.which(f"python{version}", path=place):
            yield Path(path)


def get(versions: list[str]) -> None:
    """Downloads and unpacks interpreters, in the place of those that were unpacked before.

    Raises:
        MissingPythonError: They are not available on this machine; none is left half unpacked.
    """
    root = _root()
    new = root.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)
    (new / "apt/lists/partial").mkdir(parents=True)
    (new / "apt/archives/partial").mkdir(parents=True)
    _say(f"getting Python {', '.join(versions)} from Debian unstable; a minute, once")
    packages = [f"python{version}{part}" for version in versions for part in ("", "-venv")]
    _download(new / "apt", ["patchelf", *packages])
    for archive in sorted((new / "apt/archives").glob("*.deb")):
        _run(["dpkg-deb", "--extract", str(archive), str(new)])
    shutil.rmtree(new / "apt")
    shutil.rmtree(root, ignore_errors=True)
    new.replace(root)
    folder().mkdir()
    try:
        for version in versions:
            _adapt(root, f"python{version}")
    except BaseException:
        shutil.rmtree(root)
        raise


def _root() -> Path:
    return _venv.cache_folder() / "newer-pythons"


def _download(apt: Path, packages: list[str]) -> None:
    """Downloads packages and all that they need, as if nothing was installed."""
    (apt / "status").touch()
    (apt / "sources.list").write_text(f"deb [signed-by={KEYRING}] {_mirror()} unstable main\n")
    options = {
        "Dir::Etc::sourcelist": apt / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::State::status": apt / "status",
        "Dir::State::lists": apt / "lists",
        "Dir::Cache": apt,
        "Dir::Cache::archives": apt / "archives",
        # apt would drop to a user that cannot write into the cache folder.
        "APT::Sandbox::User": "root" if os.geteuid() == 0 else "",
        "APT::Install-Recommends": "0",
        "Debug::NoLocking": "1",
    }
    command = ["apt-get", "--quiet=2", *(f"-o{name}={value}" for name, value in options.items())]
    _run([*command, "update"])
    _run([*command, "install", "--yes", "--download-only", *packages])


def _mirror() -> str:
    if shutil.which("apt-get") is None or not KEYRING.exists():
        raise MissingPythonError("they come from Debian's packages, and this is not Debian")
    if platform.machine() not in LOADERS:
        raise MissingPythonError(f"not prepared for a {platform.machine()} machine")
    for path in (*sorted(SOURCES.glob("sources.list.d/*")), SOURCES / "sources.list"):
        text = path.read_text() if path.is_file() else ""
        if found := re.search(r"^(?:URIs: |deb (?:\[.*\] )?)(\S+/debian)/?(?:\s|$)", text, re.M):
            return found[1]
    raise MissingPythonError(f"no mirror of Debian is among the sources in {SOURCES}")


def _adapt(root: Path, name: str) -> None:
    """Makes an interpreter load the unpacked libraries, whatever the system has."""
    loader, libraries = root / LOADERS[platform.machine()], root / "usr/lib"
    libraries = next(libraries.glob("*-linux-gnu"))
    program = root / "usr/bin" / name
    # patchelf needs the unpacked libraries itself.
    patchelf = [str(loader), "--library-path", str(libraries), str(root / "usr/bin/patchelf")]
    # An rpath, not a runpath: it also holds for what the libraries load in turn.
    _run([*patchelf, "--force-rpath", "--set-rpath", str(libraries), str(program)])
    _run([*patchelf, "--set-interpreter", str(loader), str(program)])
    if not _starts(program):
        raise MissingPythonError(f"{program} does not start")
    (folder() / name).symlink_to(program)


def _starts(python: Path) -> bool:
    check = [str(python), "-c", "import ssl, sqlite3, venv"]
    try:
        return subprocess.run(check, capture_output=True, check=False).returncode == 0
    except OSError:  # of another machine, or its loader is gone
        return False


def _run(command: list[str]) -> None:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    result = subprocess.run(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if result.returncode:
        raise MissingPythonError(f"{' '.join(command)} failed: {result.stdout[-2000:]}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Prints each Python as `VERSION=path`; returns 1 if one is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--find", action="store_true", help="only look, get nothing")
    parser.add_argument("--optional", action="store_true", help="it is no failure to miss one")
    arguments = parser.parse_args()
    try:
        return _ensure(arguments.find)
    except MissingPythonError as error:
        if not arguments.optional:
            sys.exit(f"scripts/newer_pythons: {error}")
        missing = ", ".join(version for version in _matrix.NEWER if find(version) is None)
        _say(f"LEFT OUT: what runs on Python {missing}: {error}")
        return 0


def _ensure(find_only: bool) -> int:
    with _venv.lock(_root().with_suffix(".lock"), "another run that gets Pythons"):
        own = str(folder())
        others = {v for v in _matrix.NEWER if (p := find(v)) and not str(p).startswith(own)}
        if not find_only and any(find(version) is None for version in _matrix.NEWER):
            # All of them, as they take the place of those that are there.
            get([version for version in _matrix.NEWER if version not in others])
    missing = []
    for version in _matrix.NEWER:
        path = find(version)
        if path is None:
            missing.append(version)
        else:
            print(f"{version}={path}", flush=True)
    if missing:
        _say(f"not on this machine: Python {', '.join(missing)}; scripts/newer_pythons gets them")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
