"""The version matrix: which rows there are, and which of them run on each change.

A row is a distribution, or all together, on a Python, with versions of what it needs.
"""

from __future__ import annotations

import dataclasses

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
FOLDERS = {
    "protos": ("tests/protos",),
    "client": ("tests/client", "tests/chaos"),
    "dapr": ("tests/dapr",),
    "emulator": ("tests/emulator",),
    "together": (
        "tests/docs",
        "tests/packaging/test_create_client.py",
        "tests/packaging/test_metadata.py",
        "tests/release",
    ),
}
"""The tests of each subject."""
SHAPES = {"1.16": "ext-grpc", "1.17": "ext-grpc", "1.18": "ext-grpc", "1.19": "grpc"}
"""Minor versions of dapr, with the extra that brings it `dapr.ext.grpc`."""
PROTOBUF = ("5.29", "6.31", "6.33")
"""Between what the lowest rows get (5.26.1, or 5.27 from Python 3.12 on) and the latest do."""
SHOWN = (
    "protobuf",
    "grpcio",
    "grpcio-reflection",
    "grpcio-health-checking",
    "dapr",
    "dapr-ext-grpc",
    "cloudevents",
    "tomli",
)
"""What is said about a row, where the row has it."""
_SHAPE_OF = dict(zip(PYTHONS, ("1.16", "1.19", "1.17", "1.18"), strict=True))


@dataclasses.dataclass(frozen=True)
class Row:
    """One row; its name says all of it."""

    subject: str
    python: str
    versions: str
    """`lowest`, `latest`, or the version of one dependency, such as `dapr1.16`."""

    @property
    def name(self) -> str:
        """Such as `client-3.10-lowest`."""
        return f"{self.subject}-{self.python}-{self.versions}"

    @property
    def pin(self) -> tuple[str, str] | None:
        """The dependency that the row is about, and its version."""
        for name in ("dapr", "protobuf"):
            if self.versions.startswith(name):
                return name, self.versions.removeprefix(name)
        return None

    @property
    def each_change(self) -> bool:
        """Whether it runs on each change; all rows run before a release."""
        if self.subject == "protos":
            return True  # seconds
        if self.subject == "dapr":
            lowest = self.versions == "lowest" and self.python == PYTHONS[0]
            return lowest or self.versions == f"dapr{_SHAPE_OF[self.python]}"
        if self.subject == "client" and self.versions == "protobuf6.31":
            return True
        edge = {"lowest": PYTHONS[0], "latest": PYTHONS[-1]}
        return edge.get(self.versions) == self.python


ROWS = (
    *(
        Row(subject, python, versions)
        for subject in ("protos", "client", "dapr", "emulator")
        for python in PYTHONS
        for versions in ("lowest", "latest")
    ),
    *(Row("dapr", python, f"dapr{minor}") for python in PYTHONS for minor in SHAPES),
    *(Row("protos", python, f"protobuf{point}") for python in PYTHONS for point in PROTOBUF),
    *(Row("client", "3.12", f"protobuf{point}") for point in PROTOBUF),
    *(Row("together", python, "latest") for python in PYTHONS),
)
