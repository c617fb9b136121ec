"""The registry that the distributions are published to: a Gitea with its PyPI packages."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import urllib.parse
from pathlib import Path

import _distfiles
import _versions

DEFAULT_URL = "https://pypi.haenerconsulting.com/api/packages/virtufin/pypi"


@dataclasses.dataclass(frozen=True)
class Registry:
    """A registry and who publishes there."""

    url: str
    """Where files are uploaded; the index is at `simple/` below."""
    user: str
    token: str = dataclasses.field(repr=False)

    @property
    def index(self) -> str:
        """The address of the index, without credentials."""
        return f"{self.url}/simple/"

    @property
    def login(self) -> str:
        """The address of the index with credentials: never print it, never make it an argument."""
        parts = urllib.parse.urlsplit(self.index)
        if not self.user:
            return self.index
        quote = urllib.parse.quote
        host = f"{quote(self.user, safe='')}:{quote(self.token, safe='')}@{parts.netloc}"
        return parts._replace(netloc=host).geturl()


def from_environment(*, to_publish: bool = False) -> Registry:
    """The registry that the variables name.

    VIRTUFIN_PACKAGES_URL (default: Virtufin's own), VIRTUFIN_PACKAGES_USER and
    VIRTUFIN_PACKAGES_TOKEN.

    Raises:
        ReleaseError: The address is none, or a variable that is needed to publish is missing.
    """
    get = os.environ.get
    url = (get("VIRTUFIN_PACKAGES_URL") or DEFAULT_URL).rstrip("/")
    user, token = get("VIRTUFIN_PACKAGES_USER", ""), get("VIRTUFIN_PACKAGES_TOKEN", "")
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise _versions.ReleaseError(
            "VIRTUFIN_PACKAGES_URL must be an http(s) address without credentials, such as "
            f"{DEFAULT_URL}"
        )
    if url.endswith("/simple"):
        raise _versions.ReleaseError(
            "VIRTUFIN_PACKAGES_URL is where files are uploaded; leave out its `/simple`"
        )
    if to_publish and not (user and token):
        raise _versions.ReleaseError(
            "publishing needs VIRTUFIN_PACKAGES_USER and VIRTUFIN_PACKAGES_TOKEN: a Gitea personal "
            "access token with the scope write:package (a workflow's own token cannot publish)"
        )
    return Registry(url, user, token)


def publish(registry: Registry, files: list[Path]) -> None:
    """Uploads what the registry does not have yet, each distribution after what it needs.

    Nothing is uploaded where the registry has other bytes under one of the names. What is there
    already with the same bytes is left out, so that a run that ended half-way can be repeated.

    Raises:
        ReleaseError: The registry refuses, or has other bytes.
    """
    _uv(registry, ["--dry-run", *map(str, files)])
    version = _versions.current()
    for distribution in _versions.DISTRIBUTIONS:
        wanted = _distfiles.names(distribution, version)
        _uv(registry, [str(path) for path in files if path.name in wanted])


def _uv(registry: Registry, arguments: list[str]) -> None:
    env = {
        **os.environ,
        "UV_PUBLISH_URL": registry.url,
        # With its login: without it a private owner's index looks empty.
        "UV_PUBLISH_CHECK_URL": registry.login,
        "UV_PUBLISH_USERNAME": registry.user,
        "UV_PUBLISH_PASSWORD": registry.token,
    }
    for name in ("UV_PUBLISH_TOKEN", "UV_PUBLISH_INDEX"):
        env.pop(name, None)
    command = ["uv", "publish", "--no-config", "--trusted-publishing", "never", *arguments]
    result = subprocess.run(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    said = result.stdout.replace(registry.token, "***") if registry.token else result.stdout
    print("".join(f"  {line}\n" for line in said.splitlines()), end="", flush=True)
    if result.returncode:
        raise _versions.ReleaseError(_meaning(said, registry))


def _meaning(said: str, registry: Registry) -> str:
    if "do not match" in said:
        return (
            "the registry has this version with other bytes, and a published file never changes: "
            "release the new content under a new version (scripts/bump_version)"
        )
    if " 401 " in said or " 403 " in said:
        return (
            f"{registry.url} does not let {registry.user} publish: VIRTUFIN_PACKAGES_TOKEN must be "
            "a personal access token with the scope write:package, of somebody who may write the "
            "owner's packages"
        )
    if " 409 " in said:
        return (
            "the registry has a file of this name but does not show it in its index: may "
            f"{registry.user} read the owner's packages (scope read:package)?"
        )
    if "error sending request" in said or "Failed to fetch" in said:
        return f"{registry.url} cannot be reached: what uv says is above. Repeat when it is back"
    return "uv could not publish: what it says is above. A repeated run uploads what is missing"
