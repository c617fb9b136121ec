"""Gets Pythons newer than this machine's own, and prints where they are.

The packages of Debian's unstable suite are downloaded and unpacked into the cache folder, beside
the system and without touching it; no root is needed. They bring a newer C library than the
system's, so each interpreter is told by patchelf to load the libraries that were unpacked with it.
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
from pathlib import Path

import _matrix
import _venv

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SOURCES = Path("/etc/apt")
LOADERS = {"x86_64": "usr/lib64/ld-linux-x86-64.so.2", "aarch64": "usr/lib/ld-linux-aarch64.so.1"}
"""The loader of programs below the unpacked packages, by machine."""


class MissingPythonError(RuntimeError):
    """A Python cannot be got on this machine; the text says why."""


def folder() -> Path:
    """Holds one link for each interpreter that was got, and is a good end of PATH."""
    return _root() / "bin"


def find(version: str) -> Path | None:
    """Returns the interpreter of a version such as `3.15`, if it is here and starts."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    places = [folder(), *(path / "bin" for path in sorted(pyenv.glob(f"{version}.*")))]
    search = os.pathsep.join([os.environ.get("PATH", ""), *map(str, places)])
    path = shutil.which(f"python{version}", path=search)
    return Path(path) if path and _starts(Path(path)) else None


def get(versions: list[str]) -> None:
    """Downloads and unpacks interpreters; there are whole ones in their place, or none.

    Raises:
        MissingPythonError: They cannot be got here.
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
    for version in versions:
        _adapt(root, f"python{version}")


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
    return subprocess.run(check, capture_output=True, check=False).returncode == 0


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
        _say(f"LEFT OUT: all that is run on Python {', '.join(_matrix.NEWER)}: {error}")
        return 0


def _ensure(find_only: bool) -> int:
    with _venv.lock(_root().with_suffix(".lock"), "another run that gets Pythons"):
        missing = [version for version in _matrix.NEWER if find(version) is None]
        if missing and not find_only:
            get(missing)
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
