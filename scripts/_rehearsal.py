"""Rehearses a release against a Gitea of its own, with the very scripts that release.

A copy of the last commit is given the next version, published to a private owner, installed back
in each documented way, published again, refused where it must be, and completed where it ended
half-way. Then a tag is pushed there, and the workflow publishes another version.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import _distfiles
import _git
import _gitea
import _index
import _installs
import _versions
from _shell import Story, expect, plain_environment, run
from packaging.version import Version

OWNER = "virtufin"
WORKFLOW = 10 * 60.0
"""Seconds within which the workflow of a tag ends."""
SERVICE = "virtufin-api"


class Rehearsal:
    """The copy that is released, the Gitea it goes to, and the people there."""

    def __init__(self, folder: Path, gitea: _gitea.Gitea, story: Story) -> None:
        self.folder = folder
        self.gitea = gitea
        self.story = story
        self.clone = folder / "clone"
        self.version = ""

    def people(self) -> None:
        """Makes a private owner, a login that may publish there, and one that may only read."""
        self.story.chapter("A registry with a private owner, and people")
        for name in ("releaser", "stranger"):
            self.gitea.add_user(name)
        self.admin = self.gitea.token("releaser", "all")
        self.publisher = self.gitea.token("releaser", "write:package")
        self.reader = self.gitea.token("releaser", "read:package")
        self.stranger = self.gitea.token("stranger", "write:package")
        for owner in (OWNER, "halfway"):
            body = {"username": owner, "visibility": "private"}
            self.gitea.api(self.admin, "POST", "/orgs", body)
        self.story.says(f"{OWNER} is private; releaser may write its packages, stranger may not")

    def prepare(self) -> None:
        """The files of the last commit in a repository of their own, the next version tagged."""
        self.story.chapter("A version: bump, commit, tag")
        plant(_versions.ROOT, self.clone)
        self.next_version()
        self.story.says(run(["git", "log", "-1", "--stat", "--format=%s"], self.clone))

    def next_version(self) -> None:
        """Bumps the last place of the version and tags the commit."""
        release = Version(_versions.current(self.clone)).release
        self.version = ".".join(map(str, (*release[:2], release[2] + 1)))
        changelog = self.clone / "CHANGELOG.md"
        new = "## [Unreleased]\n\n- A rehearsal.\n\n## "
        changelog.write_text(changelog.read_text().replace("## ", new, 1))
        self.script("bump_version", self.version)
        self.commit(f"Release {self.version}")
        run(["git", "tag", f"v{self.version}"], self.clone)

    def release(self) -> None:
        """Everything in one command, and the registry has it."""
        self.story.chapter("The release: verify, build, check, publish, smoke")
        self.story.says(self.release_script("all", f"v{self.version}"))
        self.published = self.index(OWNER)
        expect(set(self.published) == set(self.files()), "the registry has all the files")
        self.story.says(f"the registry has {len(self.published)} files of {self.version}")

    def install(self) -> None:
        """Installs in the ways that the documentation describes."""
        self.story.chapter("Installed back from the private owner, with a token that may only read")
        index = f"{self.gitea.packages(OWNER)}/simple/"
        login = _installs.Login(index, "releaser", self.reader)
        wanted = f"{SERVICE}=={self.version}"
        for way in _installs.all_ways(self.folder / "installed", login, wanted):
            self.story.says(f"{way}: {wanted}")

    def repeat(self) -> None:
        """The same release once more changes nothing."""
        self.story.chapter("The same release again")
        said = self.release_script("all", f"v{self.version}")
        expect("Uploading" not in said, "a repeated release uploads nothing")
        expect(said.count("already exists, skipping") == len(self.files()), "it says so")
        expect(self.index(OWNER) == self.published, "the registry is as it was")
        self.story.says("nothing was uploaded, and it ended well")

    def changed(self) -> None:
        """Other bytes under a published version are refused, before anything is uploaded."""
        self.story.chapter("The same version with other bytes")
        tag = f"v{self.version}"
        module = next((self.clone / f"packages/{SERVICE}/src").rglob("_version.py"))
        module.write_text(module.read_text() + "\n# Changed after the release.\n")
        self.commit("Change what is released")
        said = self.release_script("verify", tag, fails=True)
        expect("is another commit than the one checked out" in said, "the tag is not moved unseen")
        run(["git", "tag", "--force", tag], self.clone)
        said = self.release_script("all", tag, fails=True)
        expect("release the new content under a new version" in said, "it says what to do")
        expect("Uploading" not in said, "nothing is uploaded before")
        expect(self.index(OWNER) == self.published, "the registry is as it was")
        self.story.says(last(said))
        run(["git", "reset", "--quiet", "--hard", "HEAD~1"], self.clone)
        run(["git", "tag", "--force", tag], self.clone)

    def forbidden(self) -> None:
        """Publishing without permission fails with a reason, and nothing is changed."""
        self.story.chapter("Without permission")
        self.next_version()
        self.release_script("build")
        for who, user, token, sentence in (
            ("a token that may only read", "releaser", self.reader, "scope write:package"),
            ("somebody else", "stranger", self.stranger, "who may write the owner's packages"),
            ("a token that is none", "releaser", "0" * 40, "must be a personal access token"),
            ("no token", "releaser", "", "publishing needs VIRTUFIN_PACKAGES_USER"),
        ):
            said = self.release_script("publish", fails=True, login=(user, token))
            expect(sentence in said, f"{who} must read what is missing, not:\n{said}")
            expect(not token or token not in said, "the token is never shown")
            self.story.says(f"{who}: {last(said)}")
        expect(self.index(OWNER) == {}, "nothing of it is in the registry")

    def half(self) -> None:
        """A release of which some files were uploaded when it died is completed by another run."""
        self.story.chapter("A release that died half-way")
        dist = [self.clone / "dist" / name for name in self.files()]
        upload = ["uv", "publish", "--no-config", "--quiet", *map(str, dist[:3])]
        env = {"UV_PUBLISH_URL": self.gitea.packages("halfway")}
        who = {"UV_PUBLISH_USERNAME": "releaser", "UV_PUBLISH_PASSWORD": self.publisher}
        run(upload, env={**plain_environment(), **env, **who})
        before = self.index("halfway")
        expect(len(before) == 3, "three files are there")
        said = self.release_script("publish", owner="halfway")
        expect(said.count("  Uploading") == len(dist) - 3, "what was missing is uploaded")
        expect(set(self.index("halfway")) == set(self.files()), "the registry has all the files")
        self.release_script("smoke", owner="halfway")
        self.story.says(f"{len(before)} files were there, a second run added {len(dist) - 3}")

    def workflow(self) -> None:
        """A pushed tag becomes packages, without a hand on the keyboard."""
        self.story.chapter("A tag is pushed; the workflow does the rest")
        self.next_version()
        self.gitea.api(self.admin, "POST", f"/orgs/{OWNER}/repos", {"name": "sdk"})
        repo, address = f"/repos/{OWNER}/sdk", f"{self.gitea.url}/{OWNER}/sdk.git"
        for name, value in (
            ("VIRTUFIN_PACKAGES_USER", "releaser"),
            ("VIRTUFIN_PACKAGES_TOKEN", self.publisher),
        ):
            self.gitea.api(self.admin, "PUT", f"{repo}/actions/secrets/{name}", {"data": value})
        for name, value in (
            ("VIRTUFIN_PACKAGES_URL", self.gitea.packages(OWNER)),
            ("VIRTUFIN_RELEASE_CHECKS", "sample"),
        ):
            path = f"{repo}/actions/variables/{name}"
            self.gitea.api(self.admin, "POST", path, {"value": value})
        # Actions want a branch. This one has no workflows: ci.yml would run every check.
        tree = run(["git", "hash-object", "-t", "tree", "-w", "/dev/null"], self.clone).strip()
        empty = run(["git", "commit-tree", "-m", "Begin", tree], self.clone).strip()
        push = ["git", "push", "--quiet", address]
        run([*push, f"{empty}:refs/heads/main"], self.clone, env=self.git_login())
        with _gitea.runner(self.gitea, plain_environment()):
            tag = f"refs/tags/v{self.version}"
            run([*push, tag], self.clone, env=self.git_login())
            self.story.says(f"pushed {tag}")
            log = self.await_run(repo)
        self.story.says("\n".join(line for line in log.splitlines() if "said hello" in line))
        expect(set(self.files()) <= set(self.index(OWNER)), "the registry has the new version")
        expect(self.publisher not in log, "the secret is not in the log")
        self.story.says(f"the registry has {self.version}, published by the workflow")

    def await_run(self, repo: str) -> str:
        """Waits for the one run to end well; the log of its job."""
        end, state = time.monotonic() + WORKFLOW, ""
        while time.monotonic() < end:
            runs = self.gitea.api(self.admin, "GET", f"{repo}/actions/runs")["workflow_runs"]
            if runs and runs[0]["status"] == "completed":
                break
            if runs and runs[0]["status"] != state:
                state = runs[0]["status"]
                self.story.says(f"workflow {runs[0]['path']}: {state}")
            time.sleep(1)
        expect(bool(runs), "the tag started a workflow")
        jobs = self.gitea.api(self.admin, "GET", f"{repo}/actions/runs/{runs[0]['id']}/jobs")
        job = jobs["jobs"][0]["id"]
        ended = runs[0]["status"] == "completed"
        expect(ended, f"the workflow ends within {WORKFLOW:.0f} s")
        log = str(self.gitea.api(self.admin, "GET", f"{repo}/actions/jobs/{job}/logs"))
        expect(runs[0].get("conclusion") == "success", f"the workflow ended well, not:\n{log}")
        return log

    def index(self, owner: str) -> dict[str, str]:
        """The files of the present version in the registry, with their digests."""
        version = f"-{self.version}"
        user, token = "releaser", self.publisher
        index = f"{self.gitea.packages(owner)}/simple/"
        files = _index.files(index, _versions.DISTRIBUTIONS, user, token)
        return {name: sha for name, sha in files.items() if version in name}

    def files(self) -> list[str]:
        """The names of all files of the present version."""
        names = (_distfiles.names(name, self.version) for name in _versions.DISTRIBUTIONS)
        return [name for both in names for name in both]

    def script(self, name: str, *arguments: str) -> str:
        """Runs one of the clone's own scripts."""
        return run([str(self.clone / "scripts" / name), *arguments], self.clone)

    def release_script(
        self,
        *arguments: str,
        fails: bool = False,
        owner: str = OWNER,
        login: tuple[str, str] | None = None,
    ) -> str:
        """Returns the output of scripts/release without that of nox; with `fails` it must fail."""
        user, token = login or ("releaser", self.publisher)
        env = {
            **plain_environment(),
            "VIRTUFIN_PACKAGES_URL": self.gitea.packages(owner),
            "VIRTUFIN_PACKAGES_USER": user,
            "VIRTUFIN_PACKAGES_TOKEN": token,
        }
        command = [str(self.clone / "scripts/release"), *arguments]
        said = run(command, self.clone, env=env, fails=fails)
        return "\n".join(line for line in said.splitlines() if not line.startswith("nox > "))

    def commit(self, message: str) -> None:
        """Commits everything in the clone."""
        run(["git", "commit", "--quiet", "--all", "--message", message], self.clone)

    def git_login(self) -> dict[str, str]:
        """Variables with which git may push."""
        return {
            **plain_environment(),
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "http.extraHeader",
            "GIT_CONFIG_VALUE_0": f"Authorization: token {self.admin}",
        }


def plant(root: Path, folder: Path) -> None:
    """Makes a repository whose one commit has the files of a clone's last one."""
    # Not a clone: a part of the history, as pipelines check it out, cannot be pushed.
    _git.export(root, folder)
    run(["git", "init", "--quiet", "--initial-branch", "main"], folder)
    run(["git", "add", "--all", "--force"], folder)
    run(["git", "commit", "--quiet", "--message", "Everything"], folder)


def last(said: str) -> str:
    """The last line of what a command says."""
    return said.strip().splitlines()[-1]


def main() -> int:
    """Goes through a release; returns 1, and prints what is not true, if it ends badly."""
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="rehearsal-") as folder:
        story = Story(chapters=9)
        with _gitea.running(Path(folder) / "gitea") as gitea:
            rehearsal = Rehearsal(Path(folder), gitea, story)
            rehearsal.people()
            rehearsal.prepare()
            rehearsal.release()
            rehearsal.install()
            rehearsal.repeat()
            rehearsal.changed()
            rehearsal.forbidden()
            rehearsal.half()
            rehearsal.workflow()
    print(f"\nThe release was rehearsed in {time.monotonic() - begin:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RuntimeError as error:
        sys.exit(f"scripts/nox -s release_rehearsal: {error}")
