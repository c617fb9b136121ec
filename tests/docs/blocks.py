"""Python code blocks of Markdown pages, collected and run in order.

HTML comments directly above a block say what its reader has in mind and the page does not print:

    <!-- before: client = ApiClient() -->   code that runs before the block; may have many lines
    <!-- one item of each loop -->          every top-level `async for` ends after its first item
    <!-- not run: why -->                   the block is shown only
"""

import ast
import asyncio
import inspect
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

from tests.workspace import PACKAGES, ROOT
from virtufin.api.client import ApiClient, DaprPublisher

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *PACKAGES.glob("*/README.md")])
# A snippet of a file that is run on its own.
INCLUDED = "--8<--"


@dataclass(frozen=True)
class Block:
    """A fenced block of Python."""

    path: Path
    line: int
    code: str
    before: str = ""
    not_run: str = ""
    one_item: bool = False

    @property
    def place(self):
        """The place of the block, for people."""
        return f"{self.path.relative_to(ROOT)}:{self.line}"


def blocks_of(path):
    """The Python blocks of a page, without those that only include a file."""
    found = []
    comments = []
    for token in MarkdownIt().parse(path.read_text()):
        if token.type == "html_block":
            comments += re.findall(r"<!--(.*?)-->", token.content, re.DOTALL)
        elif token.type == "fence":
            if token.info.split(" ")[0] == "python" and not token.content.startswith(INCLUDED):
                found.append(_block(path, token, [comment.strip() for comment in comments]))
            comments = []
        elif token.nesting >= 0:
            comments = []
    return found


def _block(path, token, comments):
    block = {"path": path, "line": token.map[0] + 2, "code": token.content}
    for comment in comments:
        word, colon, text = comment.partition(":")
        if word == "before" and colon:
            block["before"] = textwrap.dedent(text).strip()
        elif word == "not run" and text.strip():
            block["not_run"] = text.strip()
        elif comment == "one item of each loop":
            block["one_item"] = True
        else:
            raise ValueError(f"{path}:{token.map[0]}: unknown instruction {comment!r}")
    return Block(**block)


class Reader:
    """Does what a reader of a page does: types one block after the other into one session."""

    def __init__(self, replaced):
        self._replaced = replaced
        self._names = {"__name__": "__main__", "asyncio": asyncio}
        self._loop = asyncio.new_event_loop()
        self._opened = []

    def run(self, block):
        """Runs a block, with `await` allowed at the top level as in `python -m asyncio`."""
        if block.before:
            self._run(ast.parse(block.before), f"{block.place} (before)")
        code = block.code
        for old, new in self._replaced.items():
            code = code.replace(old, new)
        tree = _parsed("\n" * (block.line - 1) + code, str(block.path))
        if block.one_item:
            tree = ast.fix_missing_locations(_OneItem().visit(tree))
        self._run(tree, str(block.path))

    def _run(self, tree, filename):
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code = compile(tree, filename, "exec", flags=flags)
        if code.co_flags & inspect.CO_COROUTINE:
            self._loop.run_until_complete(eval(code, self._names))
        elif "asyncio.run(" in ast.unparse(tree):
            exec(code, self._names)
        else:
            self._loop.run_until_complete(self._inside(code))
        # Now, as a later block may use the same names.
        kinds = (ApiClient, DaprPublisher, asyncio.Task)
        self._opened += [value for value in self._names.values() if isinstance(value, kinds)]

    async def _inside(self, code):
        exec(code, self._names)

    def close(self):
        """Closes what the page left open."""
        self._loop.run_until_complete(self._close())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    async def _close(self):
        for task in (value for value in self._opened if isinstance(value, asyncio.Task)):
            task.cancel()
            await asyncio.wait([task])
        for client in (value for value in self._opened if not isinstance(value, asyncio.Task)):
            await client.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if left:
            # grpc's own tasks for cancelled calls end a moment later.
            _, left = await asyncio.wait(left, timeout=5)
        assert not left, f"closing the clients of the page left tasks running: {left}"


def _parsed(code, filename):
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    return compile(code, filename, "exec", flags=flags)


class _OneItem(ast.NodeTransformer):
    """Ends each loop over a stream, which has no end of its own, after one item."""

    def visit_AsyncFor(self, node):
        node.body.append(ast.Break())
        return node

    def visit_FunctionDef(self, node):
        return node

    visit_AsyncFunctionDef = visit_FunctionDef
