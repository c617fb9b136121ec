"""Builds programs from their Go modules, which is how the checks get what no package index has.

Standard library only, so that it runs under any Python from 3.10 on.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path


class BuildError(RuntimeError):
    """A program could not be built; the text says what to do."""


@dataclasses.dataclass(frozen=True)
class Program:
    """A program of a Go module."""

    module: str
    version: str
    package: str = "."
    tags: str = ""


def source(program: Program) -> Path:
    """The folder with the module's source, downloaded where it is missing."""
    if shutil.which("go") is None:
        raise BuildError(f"{program.module} is built with Go: install it, so that go is on PATH")
    wanted = f"{program.module}@{program.version}"
    download = ["go", "mod", "download", "-json", wanted]
    answer = subprocess.run(download, stdout=subprocess.PIPE, text=True, check=False)
    folder = json.loads(answer.stdout or "{}").get("Dir")
    if not folder:
        raise BuildError(f"the Go proxy does not serve {wanted}: {answer.stdout}")
    return Path(folder)


def build(program: Program, target: Path) -> None:
    """Builds the program; there is a whole one in its place, or none."""
    folder = source(program)
    say = f"building {target.name} {program.version}; takes minutes, the first time only"
    print(say, file=sys.stderr, flush=True)
    new = target.with_suffix(".new")
    # In the module's own folder, as `go install` refuses modules with replace directives.
    flags = ["-mod=readonly", "-tags", program.tags, "-trimpath", "-ldflags", "-s -w"]
    command = ["go", "build", *flags, "-o", str(new), program.package]
    if subprocess.run(command, cwd=folder, stdout=sys.stderr, check=False).returncode:
        raise BuildError(f"{target.name} could not be built: what Go says is above")
    new.replace(target)
