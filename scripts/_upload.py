"""Uploads the files of a release to a registry, all of them or those that it does not have."""

from __future__ import annotations

import os
import subprocess
import urllib.parse
from pathlib import Path

import _distfiles
import _index
import _versions
from _registry import Registry

TIMEOUTS = {"UV_HTTP_TIMEOUT": "60", "UV_UPLOAD_HTTP_TIMEOUT": "120", "UV_HTTP_RETRIES": "2"}
"""Seconds that uv waits for a registry that sends nothing, if the user has not set another time."""


def publish(registry: Registry, files: list[Path]) -> None:
    """Uploads what the registry does not have yet, each distribution after what it needs.

    Nothing is uploaded where the registry has other bytes under one of the names. What is there
    already with the same bytes is left out, so that a run that ended half-way can be repeated.

    Raises:
        ReleaseError: The registry refuses, has other bytes, or does not show what it was given.
    """
    wanted = {path.name: _distfiles.digest(path) for path in files}
    there = _there(registry)
    if any(there.get(name, sha) != sha for name, sha in wanted.items()):
        raise _versions.ReleaseError(_OTHER_BYTES)
    version = _versions.current()
    for distribution in _versions.DISTRIBUTIONS:
        names = _distfiles.names(distribution, version)
        _uv(registry, [str(path) for path in files if path.name in names])
    there = _there(registry)
    if missing := ", ".join(name for name, sha in wanted.items() if there.get(name) != sha):
        raise _versions.ReleaseError(
            f"{registry.index} does not show what was uploaded ({missing}): is "
            "VIRTUFIN_PACKAGES_URL where files are uploaded? A repeated run uploads what is missing"
        )


def _there(registry: Registry) -> dict[str, str]:
    login = (registry.user, registry.token)
    try:
        return _index.files(registry.index, _versions.DISTRIBUTIONS, *login)
    except _index.ForbiddenError as error:
        raise _versions.ReleaseError(f"{error}: {_forbidden(registry)}") from None


def _uv(registry: Registry, arguments: list[str]) -> None:
    env = {
        **TIMEOUTS,
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
    said = ""
    with subprocess.Popen(
        command,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            shown = _masked(line, registry.token)
            said += shown
            print(f"  {shown}", end="", flush=True)
    if process.returncode:
        raise _versions.ReleaseError(_meaning(said, registry))


def _masked(text: str, token: str) -> str:
    for secret in (token, urllib.parse.quote(token, safe="")):
        text = text.replace(secret, "***") if secret else text
    return text


_OTHER_BYTES = (
    "the registry has this version with other bytes, and a published file never changes: "
    "release the new content under a new version (scripts/bump_version)"
)


def _forbidden(registry: Registry) -> str:
    return (
        f"{registry.url} does not let {registry.user} publish: VIRTUFIN_PACKAGES_TOKEN must be "
        "a personal access token with the scope write:package, of somebody who may write the "
        "owner's packages"
    )


def _meaning(said: str, registry: Registry) -> str:
    if "do not match" in said:
        return _OTHER_BYTES
    if " 401 " in said or " 403 " in said:
        return _forbidden(registry)
    if " 409 " in said:
        return (
            "the registry has a file of this name but does not show it in its index: may "
            f"{registry.user} read the owner's packages (scope read:package)?"
        )
    if "error sending request" in said or "Failed to fetch" in said:
        return f"{registry.url} cannot be reached: what uv says is above. Repeat when it is back"
    return "uv could not publish: what it says is above. A repeated run uploads what is missing"
