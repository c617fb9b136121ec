"""The workflows call scripts, and rest on nothing that Gitea overlooks."""

import os
import re

import pytest

from tests.workspace import ROOT

FILES = sorted((ROOT / ".gitea/workflows").glob("*.yml"))


def code(path):
    lines = path.read_text().splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("#"))


def test_there_is_one_for_changes_tags_and_nights():
    assert [path.name for path in FILES] == ["ci.yml", "nightly.yml", "release.yml"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
class TestEach:
    def test_uses_no_action_of_another_forge(self, path):
        assert not re.search(r"^\s*(- )?uses:", code(path), re.MULTILINE), "plain commands only"

    def test_has_no_key_that_gitea_overlooks(self, path):
        for key in ("timeout-minutes", "max-parallel", "fromJSON", "continue-on-error"):
            assert key not in code(path), f"Gitea overlooks {key}: wrap the command in `timeout`"

    def test_bounds_each_command_and_calls_only_what_is_here(self, path):
        commands = re.findall(r"^\s*run: ([^|\n].*)$", code(path), re.MULTILINE)
        assert commands
        for command in commands:
            words = command.split()
            assert words[:3] == ["timeout", "-k", "60"], f"unbounded: {command}"
            assert os.access(ROOT / words[4], os.X_OK), f"no script: {words[4]}"

    def test_checks_out_as_the_others_do(self, path):
        def checkout(file):
            return file.read_text().partition("- name: Check out")[2].partition("- name")[0]

        assert checkout(path) == checkout(FILES[0])

    def test_puts_no_expression_into_a_shell(self, path):
        shell = re.findall(r"^\s*(?:run: |git |for |scripts).*$", code(path), re.MULTILINE)
        assert not [line for line in shell if "${{" in line], "pass it as a variable"


def test_publishing_waits_for_every_check_in_one_job():
    text = code(FILES[2])
    assert len(re.findall(r"runs-on:", text)) == 1
    steps = re.findall(r"run: timeout -k 60 \S+ (\S+)(?: (\S+))?", text)
    assert steps == [
        ("scripts/release", "verify"),
        (".ci/before_release", ""),
        ("scripts/release", "all"),
    ]
