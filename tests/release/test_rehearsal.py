"""The repository that the rehearsal releases, also where a pipeline checked out one commit."""

import subprocess

from tests.release.conftest import git
from tests.workspace import script

rehearsal = script("_rehearsal")


def test_a_part_of_the_history_can_be_rehearsed(clone, tmp_path):
    (clone / ".gitignore").write_text("kept.txt\n")
    (clone / "kept.txt").write_text("in the commit although ignored")
    git(clone, "add", "--force", "--all", ".")
    git(clone, "commit", "--quiet", "--message", "Another")
    part, planted, forge = tmp_path / "part", tmp_path / "planted", tmp_path / "forge.git"
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{clone}", str(part))
    git(tmp_path, "init", "--quiet", "--bare", str(forge))
    planted.mkdir()
    rehearsal.plant(part, planted)
    git(planted, "tag", "v7.8.9")
    git(planted, "push", "--quiet", f"file://{forge}", "refs/tags/v7.8.9")

    def tree(folder, what):
        command = ["git", "-C", str(folder), "rev-parse", f"{what}^{{tree}}"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert tree(forge, "v7.8.9") == tree(clone, "HEAD")
