"""The examples in docstrings run and print what they say."""

import doctest
import importlib
import pkgutil

import pytest

PACKAGES = ("protos", "client", "dapr", "emulator")


def modules():
    for package in PACKAGES:
        name = f"virtufin.api.{package}"
        yield name
        for module in pkgutil.iter_modules(importlib.import_module(name).__path__, f"{name}."):
            if not module.name.endswith(("_pb2", "_pb2_grpc", "__main__")):
                yield module.name


EXAMPLES = [
    pytest.param(test, id=test.name)
    for name in modules()
    for test in doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(name))
    if test.examples
]


def test_there_are_examples():
    assert len(EXAMPLES) >= 10


@pytest.mark.parametrize("example", EXAMPLES)
def test_example(example):
    report = []
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=report.append)
    assert result.failed == 0, "".join(report)
