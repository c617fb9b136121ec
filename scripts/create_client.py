#!/usr/bin/env python3
"""Writes a source tree of the client that works by PYTHONPATH alone.

    python scripts/create_client.py --output src/python

The tree has the client, freshly generated protobuf code and, beside them, the top-level modules
`gateway_pb2`, `gateway_pb2_grpc`, `state_pb2` and so on. It needs grpcio, grpcio-reflection and
protobuf installed. Files of others in the folder are left alone; files that an earlier run wrote
and that are no longer part of the tree are removed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

import _generator
import _venv

CLIENT = Path("virtufin/api/client")
PROTOS = Path("virtufin/api/protos")
LIST_OF_FILES = ".virtufin-api-files"
TOP_LEVEL = '''"""The messages of `virtufin.api.protos.{name}` under their documented name.

Only another name: both modules can be imported in one process.
"""

from virtufin.api.protos.{name} import *
'''


def copy(source: Path, destination: Path) -> None:
    """Copies a package of the workspace without what Python left in it."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(source, destination, ignore=ignored, dirs_exist_ok=True)


def build(tree: Path) -> None:
    """Puts the whole tree together in an empty folder."""
    packages = _generator.ROOT / "packages"
    copy(packages / "virtufin-api/src" / CLIENT, tree / CLIENT)
    copy(packages / "virtufin-api-protos/src" / PROTOS, tree / PROTOS)
    try:
        _generator.generate(str(PROTOS), tree)
    except _venv.SetupError as error:
        print(f"copied the committed protobuf code instead of generating it: {error}")
    for module in sorted((tree / PROTOS).glob("*_pb2*.py")):
        (tree / module.name).write_text(TOP_LEVEL.format(name=module.stem))


def check_folder(folder: Path) -> None:
    """Makes sure that `folder` is a folder or can become one, as far as looking shows.

    Raises:
        NotADirectoryError: It, or the nearest existing one above it, is something else.
        PermissionError: The nearest existing folder cannot be written to.
    """
    while not os.path.lexists(folder):
        folder = folder.parent
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"{folder} cannot be written to")


def check_files(output: Path, names: set[str]) -> None:
    """Makes sure that nothing is in the way of these files below `output`.

    Raises:
        OSError: Something is; the text says what.
    """
    for path in (output / name for name in sorted(names)):
        check_folder(path.parent)
        if path.is_dir():
            raise IsADirectoryError(f"{path} is a folder, and must be a file")
        if path.exists() and not os.access(path, os.W_OK):
            raise PermissionError(f"{path} cannot be written to")


def install(tree: Path, output: Path) -> int:
    """Moves the tree's files into `output`; returns how many there are.

    Raises:
        OSError: They cannot be written.
    """
    fresh = {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file()}
    check_files(output, {*fresh, LIST_OF_FILES})
    listed = output / LIST_OF_FILES
    earlier = set(listed.read_text().splitlines()) if listed.exists() else set()
    for name in sorted(fresh):
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(tree / name, output / name)
    for name in earlier - fresh:
        (output / name).unlink(missing_ok=True)
    listed.write_text("\n".join(sorted(fresh)) + "\n")
    return len(fresh)


def main() -> None:
    """Reads the command line and writes the tree."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, help="folder of the source tree")
    output: Path = parser.parse_args().output
    try:
        check_folder(output)  # Before the work.
        with tempfile.TemporaryDirectory() as scratch:
            tree = Path(scratch)
            build(tree)
            count = install(tree, output)
    except OSError as error:
        sys.exit(f"create_client: {error}")
    print(f"{count} files in {output}; use them with: export PYTHONPATH={output.resolve()}")


if __name__ == "__main__":
    main()
