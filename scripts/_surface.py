"""Writes the public surface of each distribution into docs/surface, a line for each name.

With --check the files are compared, and what differs is printed: a change of the surface is then
seen by whoever reads the diff. Needs griffe, which reads the sources and runs nothing of them.
"""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Container, Iterator
from pathlib import Path

import griffe

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs/surface"
PACKAGES = {
    "virtufin-api-protos": "virtufin.api.protos",
    "virtufin-api": "virtufin.api.client",
    "virtufin-api-dapr": "virtufin.api.dapr",
    "virtufin-api-emulator": "virtufin.api.emulator",
}
_LEFT_OUT = re.compile(
    r"_(?!_)|__(del|init|init_subclass|post_init|repr|slots)__$"
    # What protobuf gives every message.
    r"|(ClearField|HasField|WhichOneof|DESCRIPTOR)$|\w+_FIELD_NUMBER$"
)
"""Members that no line is given; `__init__` is the signature of its class."""


def surfaces() -> dict[Path, str]:
    """The text of each file, by its path."""
    loader = griffe.GriffeLoader(
        search_paths=[str(ROOT / "packages" / name / "src") for name in PACKAGES]
    )
    for package in PACKAGES.values():
        loader.load(package, try_relative_path=False)
    loader.resolve_aliases(implicit=True, external=False)
    texts = {}
    for name, package in PACKAGES.items():
        public = dict(_public(loader.modules_collection[package], package))
        lines = _lines(public)
        texts[FOLDER / f"{name}.txt"] = "".join(f"{line}\n" for line in lines)
    return texts


def _public(module: griffe.Module, path: str) -> Iterator[tuple[str, griffe.Object]]:
    """Yields the exports of a module and those below it, by path; the shorter paths first."""
    exported = module.exports
    modules: list[tuple[griffe.Module, str]] = []
    for name, member in sorted(module.members.items()):
        if exported is not None and name in exported:
            yield f"{path}.{name}", _target(member)
        elif isinstance(member, griffe.Alias) or name.startswith("_"):
            continue
        elif isinstance(member, griffe.Module):
            modules.append((member, f"{path}.{name}"))
        elif exported is None:
            yield f"{path}.{name}", member
    for member, below in modules:
        yield from _public(member, below)


def _target(member: griffe.Object | griffe.Alias) -> griffe.Object:
    """Returns the object that a name stands for, wherever it is defined."""
    return member.final_target if isinstance(member, griffe.Alias) else member


def _lines(public: dict[str, griffe.Object]) -> Iterator[str]:
    first: dict[str, str] = {}
    for path, member in public.items():
        other = first.setdefault(member.canonical_path, path)
        if other == path:
            yield from _member(member, path, {one.canonical_path for one in public.values()})
        else:
            yield f"{path} = {other}"


def _member(member: griffe.Object, path: str, public: Container[str]) -> Iterator[str]:
    """The lines of a member; a class has none for what it inherits from another public one."""
    if isinstance(member, griffe.Class):
        bases = ", ".join(str(base) for base in member.bases)
        yield f"class {path}({bases}){_parameters(member)}"
        for name, inner in sorted(member.all_members.items()):
            target = _target(inner)
            owner = target.parent if isinstance(inner, griffe.Alias) else None
            inherited = owner is not None and owner.canonical_path in public
            if not inherited and not _LEFT_OUT.match(name):
                yield from _member(target, f"{path}.{name}", public)
    elif isinstance(member, griffe.Function):
        kinds = sorted(member.labels & {"async", "classmethod", "staticmethod"})
        for overload in member.overloads or [member]:
            signature = overload.signature(return_type=True, name=path)
            yield " ".join([*kinds, "def", signature])
    elif isinstance(member, griffe.Attribute):
        kind = "property " if "property" in member.labels else ""
        annotation = f": {member.annotation}" if member.annotation else ""
        yield f"{kind}{path}{annotation}"


def _parameters(kind: griffe.Class) -> str:
    """The parameters that a class is called with, where it has an `__init__`."""
    function = kind.all_members.get("__init__")
    if not isinstance(function, griffe.Function):
        return ""
    return ": " + function.signature(return_type=False, name="__init__")


def main() -> int:
    """Writes the files, or prints how they differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only")
    check = parser.parse_args().check
    FOLDER.mkdir(exist_ok=True)
    differ = False
    for path, text in surfaces().items():
        before = path.read_text() if path.exists() else ""
        if not check:
            path.write_text(text)
        elif before != text:
            differ = True
            name = str(path.relative_to(ROOT))
            lines = before.splitlines(), text.splitlines()
            print("\n".join(difflib.unified_diff(*lines, name, "the sources", n=0, lineterm="")))
    if differ:
        print("the public surface has changed; `scripts/nox -s surface` updates the files")
    return int(differ)


if __name__ == "__main__":
    sys.exit(main())
