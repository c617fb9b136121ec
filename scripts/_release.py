"""The steps of a release, each alone or all of them; the same on a laptop and in the pipeline."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

import _distfiles
import _registry
import _smoke
import _upload
import _verify
import _versions

STEPS = """
steps:
  verify [TAG]   the tag is the version everywhere, the clone is clean, generated code is current
  build          wheels and sdists of the commit into dist/, twice, and both the same
  check          what is in dist/: complete, accepted by indexes, each works installed alone
  publish [TAG]  what is in dist/, as far as the registry does not have it yet, and verified again
  smoke          each distribution, installed from the registry, works
  all [TAG]      all of these, in this order: nothing is uploaded before everything is verified

A run that ended half-way can be repeated. TAG is v and the version unless given.

variables:
  VIRTUFIN_PACKAGES_URL     where files are uploaded; default: {default}
  VIRTUFIN_PACKAGES_USER, VIRTUFIN_PACKAGES_TOKEN
                            a Gitea user, and a personal access token with write:package
"""


def verify(tag: str) -> None:
    problems = _verify.problems(tag)
    if problems:
        raise _versions.ReleaseError("".join(f"\n- {problem}" for problem in problems))
    print(f"  {tag}: version, pins, changelog, tag and generated code agree; the clone is clean")


def check() -> None:
    files = _distfiles.check()
    _smoke.run(_smoke.from_folder(_distfiles.FOLDER), _versions.current())
    print(f"  {len(files)} files are ready")


def publish(tag: str, registry: _registry.Registry) -> None:
    verify(tag)
    _upload.publish(registry, _distfiles.check())


def smoke(registry: _registry.Registry) -> None:
    _smoke.run(_smoke.from_registry(registry), _versions.current())


def main() -> int:
    """Does what is asked; the reason on stderr and 1 where it cannot be."""
    parser = argparse.ArgumentParser(
        prog="scripts/release",
        description=__doc__,
        epilog=STEPS.format(default=_registry.DEFAULT_URL),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "step", choices=["verify", "build", "check", "publish", "smoke", "all"], metavar="STEP"
    )
    parser.add_argument("tag", nargs="?", default=f"v{_versions.current()}", metavar="TAG")
    arguments = parser.parse_args()
    registry = _registry.from_environment(to_publish=arguments.step in ("publish", "all"))
    _registry.forget_environment()
    steps: dict[str, Callable[[], object]] = {
        "verify": lambda: verify(arguments.tag),
        "build": _distfiles.build,
        "check": check,
        "publish": lambda: publish(arguments.tag, registry),
        "smoke": lambda: smoke(registry),
    }
    wanted = list(steps) if arguments.step == "all" else [arguments.step]
    for step in wanted:
        print(f"{step}:", flush=True)
        steps[step]()
    return 0


if __name__ == "__main__":
    os.chdir(_versions.ROOT)
    try:
        sys.exit(main())
    except _versions.ReleaseError as error:
        sys.exit(f"scripts/release: {error}")
