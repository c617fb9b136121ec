"""Imports of names at their first use, for names that few programs use or that none uses at once.

The `__init__.py` of a package imports such names for type checkers only, and passes them to
`at_first_use`. A module that uses them at run time imports the package and writes `package.name`.

Apart from the packages that use it, because each of them needs the same function.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def at_first_use(package: str, modules: Mapping[str, tuple[str, ...]]) -> Callable[[str], Any]:
    """Returns the `__getattr__` of a package (PEP 562) that imports names at their first use.

    Args:
        package: `__name__` of the package.
        modules: The names by the module that defines them, which is a module of the package.
    """
    defined_in = {name: module for module, names in modules.items() for name in names}

    def __getattr__(name: str) -> Any:  # noqa: N807 - the name that Python looks for
        if name not in defined_in:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{package}.{defined_in[name]}"), name)
        # Stored, because Python then finds the name without calling this function.
        setattr(sys.modules[package], name, value)
        return value

    return __getattr__
