"""The registry that the distributions are published to: a Gitea with its PyPI packages."""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import os
import urllib.parse

import _versions

DEFAULT_URL = "https://pypi.haenerconsulting.com/api/packages/virtufin/pypi"
_VARIABLES = "VIRTUFIN_PACKAGES_"


@dataclasses.dataclass(frozen=True)
class Registry:
    """A registry and who publishes there."""

    url: str
    """The address for uploads; the index is at `simple/` below it."""
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
    url, user, token = (
        os.environ.get(_VARIABLES + name, "").strip() for name in ("URL", "USER", "TOKEN")
    )
    url = (url or DEFAULT_URL).rstrip("/")
    if wrong := _wrong(url):
        raise _versions.ReleaseError(f"VIRTUFIN_PACKAGES_URL {wrong}")
    if to_publish and not (user and token):
        raise _versions.ReleaseError(
            "publishing needs VIRTUFIN_PACKAGES_USER and VIRTUFIN_PACKAGES_TOKEN: a Gitea personal "
            "access token with the scope write:package (a workflow's own token cannot publish)"
        )
    return Registry(url, user, token)


def forget_environment() -> None:
    """Drops the variables, so that no program that builds or checks is given the token."""
    for name in [name for name in os.environ if name.startswith(_VARIABLES)]:
        del os.environ[name]


def _wrong(url: str) -> str | None:
    try:
        parts = urllib.parse.urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return f"is no address ({error}); such as {DEFAULT_URL}"
    plain = url.isascii() and url.isprintable() and not set(url) & set(' ?#"<>\\')
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc or not plain:
        return (
            "must be an http(s) address without credentials, query or fragment, such as "
            f"{DEFAULT_URL}"
        )
    if url.endswith("/simple"):
        return "is where files are uploaded; leave out its `/simple`"
    if parts.scheme == "http" and not _loopback(host):
        return f"would send the token to {host} for everybody to read: use https"
    return None


def _loopback(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"
