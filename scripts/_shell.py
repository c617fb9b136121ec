"""Commands of the rehearsal: what they say, what is around them, and what must be true after."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_GIT = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Rehearsal"), ("EMAIL", "rehearsal@example.invalid"))
}
_OURS = re.compile(r"VIRTUFIN_(?!CACHE)|UV_|PYTHON|PIP_(?!CERT)|NOX|VIRTUAL_ENV|GITHUB_|GITEA_")


class RehearsalError(RuntimeError):
    """Something is not as it must be; the text says what."""


def plain_environment() -> dict[str, str]:
    """This process's variables, without those that steer Python, uv, pip, nox or the release."""
    env = {name: value for name, value in os.environ.items() if not _OURS.match(name)}
    own = str(Path(sys.prefix) / "bin")
    env["PATH"] = os.pathsep.join(p for p in env["PATH"].split(os.pathsep) if p != own)
    index = os.environ.get("PIP_INDEX_URL")
    return {**env, **_GIT, **({"PIP_INDEX_URL": index} if index else {})}


def run(
    command: Sequence[str],
    cwd: Path | None = None,
    *,
    env: dict[str, str] | None = None,
    fails: bool = False,
) -> str:
    """Runs a command; what it says on both streams.

    Raises:
        RehearsalError: It failed, or with `fails` it did not.
    """
    result = subprocess.run(
        list(command),
        cwd=cwd,
        env=plain_environment() if env is None else env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if (result.returncode != 0) is not fails:
        outcome = "did not fail" if fails else "failed"
        raise RehearsalError(f"`{' '.join(command[:4])}` {outcome}:\n{result.stdout}")
    return result.stdout


def expect(true: bool, what: str) -> None:
    """Ends the rehearsal with what is not true."""
    if not true:
        raise RehearsalError(f"not true: {what}")


class Story:
    """The progress of the rehearsal, as it is printed."""

    def __init__(self, chapters: int) -> None:
        self._chapters = chapters
        self._chapter = 0

    def chapter(self, title: str) -> None:
        """Begins a chapter."""
        self._chapter += 1
        print(f"\n[{self._chapter}/{self._chapters}] {title}", flush=True)

    def says(self, text: str) -> None:
        """A part of the chapter."""
        print("".join(f"    {line}\n" for line in text.strip().splitlines()), end="", flush=True)
