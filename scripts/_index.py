"""What an index of Python packages shows."""

from __future__ import annotations

import base64
import re
import urllib.error
import urllib.request

_FILE = re.compile(r'<a href="[^"#]*/([^/"#]+)#sha256=([0-9a-f]{64})"')


def files(index: str, projects: tuple[str, ...], user: str, token: str) -> dict[str, str]:
    """The names of the projects' files, each with its SHA-256; a project may be missing."""
    found: dict[str, str] = {}
    login = base64.b64encode(f"{user}:{token}".encode()).decode()
    for project in projects:
        request = urllib.request.Request(
            f"{index}{project}/", headers={"Authorization": f"Basic {login}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                found.update(_FILE.findall(answer.read().decode()))
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
    return found
