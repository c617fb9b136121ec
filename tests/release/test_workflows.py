"""The workflows call scripts, and rest on nothing that Gitea overlooks."""

import os
import re

import pytest
import yaml

from tests.workspace import ROOT

FOLDER = ROOT / ".gitea/workflows"
STARTS = {
    "ci.yml": {"push": {"branches": ["**"]}, "pull_request": None},
    "nightly.yml": {"schedule": [{"cron": "17 3 * * *"}], "workflow_dispatch": None},
    "release.yml": {"push": {"tags": ["v*"]}},
}
"""The events that start each workflow; never one that gives a stranger our secrets."""
COMMANDS = {
    "ci.yml": ["timeout -k 60 90m .ci/run"],
    "nightly.yml": ["timeout -k 60 60m scripts/nox -s prereleases"],
    "release.yml": [
        'timeout -k 60 10m scripts/release verify "$TAG"',
        "timeout -k 60 130m .ci/before_release",
        'timeout -k 60 30m scripts/release all "$TAG"',
    ],
}
"""All that each does after checking out, in this order."""
CHECK_OUT = """\
git init --quiet .
timeout -k 60 5m git fetch --quiet --depth 1 "$GITHUB_SERVER_URL/$GITHUB_REPOSITORY" "$REF"
git checkout --quiet --force FETCH_HEAD
"""
REFS = dict.fromkeys(STARTS, "${{ github.sha }}") | {
    "release.yml": "refs/tags/${{ github.ref_name }}:refs/tags/${{ github.ref_name }}"
}
NO_ACCESS_BUT_READING = {"contents": "read"}
JOB_MINUTES = 180
"""Minutes after which Gitea, and its runner, end a job by default."""


def workflow(name):
    found = yaml.safe_load((FOLDER / name).read_text())
    found["on"] = found.pop(True)  # what YAML 1.1 reads there
    return found


def job(name):
    [found] = workflow(name)["jobs"].values()
    return found


def minutes(run):
    return sum(
        int(kill) / 60 + int(number) * {"m": 1, "h": 60}[unit]
        for kill, number, unit in re.findall(r"timeout -k (\d+) (\d+)([mh])", run)
    )


def test_there_is_one_for_changes_tags_and_nights():
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(STARTS)


@pytest.mark.parametrize("name", STARTS)
class TestEach:
    def test_starts_when_it_must(self, name):
        assert workflow(name)["on"] == STARTS[name]

    def test_has_no_key_but_those_that_gitea_reads(self, name):
        """Rejects keys that Gitea ignores: timeout-minutes, max-parallel, continue-on-error, ..."""
        assert set(workflow(name)) <= {"name", "on", "permissions", "concurrency", "jobs"}
        assert workflow(name)["permissions"] == NO_ACCESS_BUT_READING
        assert set(job(name)) == {"runs-on", "env", "steps"}
        for step in job(name)["steps"]:
            assert set(step) <= {"name", "env", "run"}, (
                "a condition, an action or what is overlooked"
            )

    def test_does_this_and_no_more(self, name):
        first, *others = job(name)["steps"]
        assert first["run"] == CHECK_OUT
        assert [step["run"] for step in others] == COMMANDS[name]

    def test_checks_out_what_started_it(self, name):
        assert job(name)["env"]["REF"] == REFS[name]
        assert job(name)["steps"][0]["env"] == {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "http.extraHeader",
            "GIT_CONFIG_VALUE_0": "Authorization: token ${{ github.token }}",
        }

    def test_calls_what_is_here(self, name):
        for command in COMMANDS[name]:
            assert os.access(ROOT / command.split()[4], os.X_OK), command

    def test_puts_no_expression_into_a_shell(self, name):
        for step in job(name)["steps"]:
            assert "${{" not in step["run"], "pass it as a variable"

    def test_ends_before_it_is_ended(self, name):
        for step in job(name)["steps"]:
            assert minutes(step["run"]) > 0
        assert sum(minutes(step["run"]) for step in job(name)["steps"]) < JOB_MINUTES

    def test_has_secrets_in_the_step_that_publishes_alone(self, name):
        text = (FOLDER / name).read_text()
        if name != "release.yml":
            assert "secrets" not in text
            return
        last = job(name)["steps"].pop()
        assert text.count("secrets.") == str(last["env"]).count("secrets.") == 2
        assert "scripts/release all" in last["run"]

    def test_cancels_no_run(self, name):
        """The children of a cancelled run live on where the runner is the machine itself."""
        assert not workflow(name).get("concurrency", {}).get("cancel-in-progress")


def test_each_tag_is_a_group_of_its_own():
    assert workflow("release.yml")["concurrency"]["group"] == "release-${{ github.ref_name }}"


def test_the_checks_get_the_address_of_the_release():
    _, _, checks, publishing = job("release.yml")["steps"]
    url = {"VIRTUFIN_PACKAGES_URL": "${{ vars.VIRTUFIN_PACKAGES_URL }}"}
    kind = {"VIRTUFIN_RELEASE_CHECKS": "${{ vars.VIRTUFIN_RELEASE_CHECKS }}"}
    assert checks["env"] == {**kind, **url}
    assert publishing["env"] == {
        **url,
        "VIRTUFIN_PACKAGES_USER": "${{ secrets.VIRTUFIN_PACKAGES_USER }}",
        "VIRTUFIN_PACKAGES_TOKEN": "${{ secrets.VIRTUFIN_PACKAGES_TOKEN }}",
    }
