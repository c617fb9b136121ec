"""The documented ways to install from a private owner's registry, each carried out."""

from __future__ import annotations

import os
import sys
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

from _shell import plain_environment, run

PUBLIC = os.environ.get("PIP_INDEX_URL") or "https://pypi.org/simple"
_PROJECT = """
[project]
name = "application"
version = "1"
requires-python = ">=3.10"

[[tool.uv.index]]
name = "virtufin"
url = "{index}"
explicit = true

[tool.uv.sources]
virtufin-api = {{ index = "virtufin" }}
virtufin-api-protos = {{ index = "virtufin" }}
"""


class Login:
    """The registry's index, and a login that may read it."""

    def __init__(self, index: str, user: str, token: str) -> None:
        self.index = index
        self.user = user
        self.token = token
        parts = urllib.parse.urlsplit(index)
        self.host = str(parts.hostname)
        self.in_address = parts._replace(netloc=f"{user}:{token}@{parts.netloc}").geturl()


def all_ways(folder: Path, login: Login, wanted: str) -> Iterator[str]:
    """Installs `wanted` in each way; the name of each that worked."""
    ways: dict[str, Callable[[Path, Login, str], Path]] = {
        "pip, credentials in the address": _pip_address,
        "pip, credentials in a netrc file": _pip_netrc,
        "pip, a requirements file with variables": _pip_file,
        "pip, a wheelhouse without any index": _wheelhouse,
        "uv, a named index that only our names come from": _uv_project,
    }
    for number, (name, way) in enumerate(ways.items()):
        place = folder / str(number)
        python = way(place, login, wanted)
        version = wanted.partition("==")[2]
        code = f"from virtufin.api.client import __version__ as v; assert v == {version!r}, v"
        run([str(python), "-c", code])
        yield name


def _venv(folder: Path) -> Path:
    run(["uv", "venv", "--quiet", "--seed", "--python", sys.executable, str(folder)])
    return folder / "bin/python"


def _pip(python: Path, *arguments: str, env: dict[str, str] | None = None) -> None:
    # The same version has other bytes in each rehearsal.
    common = ["--disable-pip-version-check", "--quiet", "--no-cache-dir"]
    run([str(python), "-m", "pip", *arguments, *common], env=env)


def _pip_address(folder: Path, login: Login, wanted: str) -> Path:
    python = _venv(folder)
    _pip(python, "install", wanted, "--index-url", login.in_address, "--extra-index-url", PUBLIC)
    return python


def _pip_netrc(folder: Path, login: Login, wanted: str) -> Path:
    python = _venv(folder)
    netrc = folder / "netrc"
    netrc.write_text(f"machine {login.host} login {login.user} password {login.token}\n")
    netrc.chmod(0o600)
    env = {**plain_environment(), "NETRC": str(netrc)}
    addresses = ["--index-url", login.index, "--extra-index-url", PUBLIC]
    _pip(python, "install", wanted, *addresses, env=env)
    return python


def _pip_file(folder: Path, login: Login, wanted: str) -> Path:
    python = _venv(folder)
    parts = urllib.parse.urlsplit(login.index)
    with_variables = f"${{PIP_USERNAME}}:${{PIP_PASSWORD}}@{parts.netloc}"
    index = parts._replace(netloc=with_variables).geturl()
    file = folder / "requirements.txt"
    file.write_text(f"--index-url {index}\n--extra-index-url {PUBLIC}\n{wanted}\n")
    env = {**plain_environment(), "PIP_USERNAME": login.user, "PIP_PASSWORD": login.token}
    _pip(python, "install", "--requirement", str(file), env=env)
    return python


def _wheelhouse(folder: Path, login: Login, wanted: str) -> Path:
    python, wheels = _venv(folder), str(folder / "wheelhouse")
    addresses = ["--index-url", login.in_address, "--extra-index-url", PUBLIC]
    _pip(python, "download", wanted, "--dest", wheels, *addresses)
    _pip(python, "install", wanted, "--no-index", "--find-links", wheels)
    return python


def _uv_environment(login: Login) -> dict[str, str]:
    who = {"UV_INDEX_VIRTUFIN_USERNAME": login.user, "UV_INDEX_VIRTUFIN_PASSWORD": login.token}
    env = {**plain_environment(), **who, "UV_PYTHON_DOWNLOADS": "never"}
    return {**env, "UV_DEFAULT_INDEX": PUBLIC}


def _uv_project(folder: Path, login: Login, wanted: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(_PROJECT.format(index=login.index))
    # A source holds for what the project itself names, so it names the client's own need too.
    both = [wanted, wanted.replace("virtufin-api", "virtufin-api-protos")]
    add = ["uv", "add", "--quiet", "--python", sys.executable, "--no-cache", *both]
    run(add, folder, env=_uv_environment(login))
    return folder / ".venv/bin/python"
