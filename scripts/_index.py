"""The files that an index of Python packages shows."""

from __future__ import annotations

import base64
import http.client
import re
import urllib.error
import urllib.request
from typing import Any

import _versions

TIMEOUT = 60.0
"""Seconds that an index may be silent."""
_FILE = re.compile(r'<a href="[^"#]*/([^/"#]+)#sha256=([0-9a-f]{64})"')


class ForbiddenError(_versions.ReleaseError):
    """The index does not let this user in."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Keeps the login from going elsewhere, and the page of another from being taken for ours."""

    def redirect_request(self, *_: Any) -> None:
        return None


def files(index: str, projects: tuple[str, ...], user: str, token: str) -> dict[str, str]:
    """The names of the projects' files, each with its SHA-256; a project may be missing.

    Raises:
        ForbiddenError: The user may not read the index.
        ReleaseError: What answers, if anything does, is no index.
    """
    found: dict[str, str] = {}
    for project in projects:
        found.update(_project(f"{index}{project}/", user, token))
    return found


def _project(address: str, user: str, token: str) -> dict[str, str]:
    login = base64.b64encode(f"{user}:{token}".encode()).decode()
    request = urllib.request.Request(address, headers={"Authorization": f"Basic {login}"})
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=TIMEOUT) as answer:
            page = answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        error.close()  # It holds the connection, and warns where it is left open.
        if error.code == 404:
            return {}
        if error.code in (401, 403):
            raise ForbiddenError(f"{address} answers {error.code}") from None
        raise _versions.ReleaseError(
            f"{address} answers {error.code} {error.reason}: is it the index of a registry, and "
            "is the registry well?"
        ) from None
    except (OSError, http.client.HTTPException) as error:
        raise _versions.ReleaseError(
            f"{address} cannot be reached ({error}): repeat when it is back"
        ) from None
    files = dict(_FILE.findall(page))
    if not files:
        raise _versions.ReleaseError(
            f"{address} answers with something that is no page of an index (it begins with "
            f"{page[:60]!r}): is VIRTUFIN_PACKAGES_URL right?"
        )
    return files
