"""Finds words in prose that this project replaces by the field's own: `_words.py PATH...`.

Looks at docstrings, comments and texts of Python files, and at documentation outside its code.
Standard library only.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORDS = {
    r"told|tells?|telling": "report, raise, log, notify",
    r"asks|asking": "request, fetch, look up",
    r"brings?|brought": "return, deliver, raise",
    r"hand(?:s|ed)? out|lets? (?:\w+ )?out": "return, deliver, raise",
    r"meanwhile|until then": "in the meantime, while ...",
    r"anew": "again",
    r"nobody": "no responder, nothing is listening, no gateway",
    r"(?:cannot|could not) be had": "fetching fails, is not available",
    r"(?:is|are) to be": "must",
    r"of use": "useful",
    r"lets? go of|taken hold of": "releases, acquired",
    r"so many at a time": "at most N concurrently",
    r"makes of": "how the gateway treats",
}
"""Patterns of whole words, and what to write instead."""
FIRST = re.compile(r"\s*(What|How|Where|Which|It|One|The one|Whether)\b(?! gRPC)")
"""Beginnings of a docstring that leave its subject to be guessed."""
ALLOWED = {
    "the request asks for nothing": "of the reflection protocol, whose requests ask",
}
"""Lines that may hold such a word, with the reason; at most ten."""

_PATTERN = re.compile("|".join(rf"(?P<w{i}>\b(?:{w})\b)" for i, w in enumerate(WORDS)), re.I)


def python_prose(text: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yields the lines of comments and texts of a Python file, with their numbers."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            for offset, line in enumerate(node.value.splitlines()):
                if not line.lstrip().startswith((">>>", "...")):
                    yield node.lineno + offset, _without_code(line)


def page_prose(text: str) -> Iterator[tuple[int, str]]:
    """Yields the lines of a page of documentation outside its code, with their numbers."""
    in_code = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            in_code = not in_code
        elif not in_code:
            yield number, _without_code(line)


def openings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yields the first lines of docstrings, of attributes too, with their numbers."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        named = isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        previous: ast.stmt | None = None
        for item in body:
            described = (previous is None and named) or isinstance(
                previous, (ast.Assign, ast.AnnAssign)
            )
            if described and isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant):
                text = item.value.value
                if isinstance(text, str):
                    yield item.lineno, text.splitlines()[0]
            previous = item


def findings(path: Path) -> Iterator[str]:
    """Yields a line for each word that should be another one."""
    shown, text = path.relative_to(ROOT), path.read_text()
    tree = ast.parse(text) if path.suffix == ".py" else None
    seen = set()
    for number, line in page_prose(text) if tree is None else python_prose(text, tree):
        for found in _PATTERN.finditer(line):
            key = (number, found[0].lower())
            if key not in seen and line.strip() not in ALLOWED:
                seen.add(key)
                instead = list(WORDS.values())[int(str(found.lastgroup)[1:])]
                yield f"{shown}:{number}: {found[0]!r}: write {instead}"
    for number, line in () if tree is None else openings(tree):
        if opening := FIRST.match(line):
            yield f"{shown}:{number}: a docstring begins with {opening[1]!r}: {line.strip()}"


def _without_code(line: str) -> str:
    return re.sub(r"`[^`]*`", "", line)


def main() -> int:
    """Prints all findings below the given paths; returns the exit code."""
    paths = [Path(argument).resolve() for argument in sys.argv[1:]]
    files = [one for path in paths for one in ([path] if path.is_file() else path.rglob("*"))]
    lines = [
        line
        for file in sorted(files)
        # This file holds the words themselves.
        if file.suffix in (".py", ".md") and "_pb2" not in file.name and file != Path(__file__)
        for line in findings(file)
    ]
    print("\n".join(lines) or "no word to replace")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
