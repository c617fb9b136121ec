"""The version matrix: which rows there are, and which of them run on each change.

A row is a distribution, or all together, on a Python, with versions of what it needs.
"""

from __future__ import annotations

import dataclasses

NEWER = ("3.14", "3.15")
"""Pythons that few machines have yet: scripts/newer_pythons gets them."""
PYTHONS = ("3.10", "3.11", "3.12", "3.13", *NEWER)
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
"""Minor versions of dapr, with the extra that installs `dapr.ext.grpc` for it."""
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
    "uvloop",
)
"""Dependencies whose versions the page shows for a row."""
_BETWEEN = (
    "protos-3.12-protobuf6.31",  # the one major version that neither edge has
    "client-3.14-uvloop",
    # With the edges, each version of dapr: it is in each of them that something else is missing.
    "dapr-3.11-dapr1.17",
    "dapr-3.13-dapr1.18",
)
"""Rows between the edges that run on each change, for what neither edge has."""


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of the matrix; the name says all of it."""

    subject: str
    python: str
    versions: str
    """`lowest`, `latest`, the version of one dependency, such as `dapr1.16`, or `uvloop`."""

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
    def folders(self) -> tuple[str, ...]:
        """Its tests."""
        # The relay of the emulator, which the chaos tests break connections with, needs asyncio's
        # own event loop.
        return ("tests/client",) if self.versions == "uvloop" else FOLDERS[self.subject]

    @property
    def edge(self) -> str:
        """`oldest` for the lowest versions on the oldest Python, `newest` likewise, or nothing."""
        if (self.python, self.versions) == (PYTHONS[0], "lowest"):
            return "oldest"
        return "newest" if (self.python, self.versions) == (PYTHONS[-1], "latest") else ""

    @property
    def each_change(self) -> str:
        """The tests of the row that run on each change: `all`, the `quick` ones, or none.

        A newer release of a dependency, or the oldest that is allowed, breaks at the edges first.
        What lies between depends on versions in what the quick tests show: imports, generated
        code, message layout, the shape of dapr. All of every row runs before a release.
        """
        if self.edge:
            return "all"
        return "quick" if self.name in _BETWEEN else ""


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
    Row("client", "3.14", "uvloop"),
    *(Row("together", python, "latest") for python in PYTHONS),
)


def each_change(here: list[str]) -> list[Row]:
    """The rows that run on each change on a machine with these Pythons, the oldest first."""
    edge = (here[-1], "latest")
    wanted = (row for row in ROWS if row.each_change or (row.python, row.versions) == edge)
    return [row for row in wanted if row.python in here]
