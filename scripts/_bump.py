"""Sets the version of all distributions, their pins and the changelog's heading in one step."""

from __future__ import annotations

import argparse
import sys

import _versions


def main() -> int:
    """Says which files changed; they are yours to commit."""
    parser = argparse.ArgumentParser(prog="scripts/bump_version", description=__doc__)
    parser.add_argument("version", help="such as 1.2.3")
    version = parser.parse_args().version
    for path in _versions.bump(version):
        print(f"changed {path.relative_to(_versions.ROOT)}")
    print(f"everything says {version}; commit it, then tag the commit v{version} and push both")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except _versions.ReleaseError as error:
        sys.exit(f"scripts/bump_version: {error}")
