"""What the README and the documentation tell people to type exists, and works."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import ROOT

from ringmoe.cli.main import VERBS, main

DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *DOCS]
PAGES += [ROOT / "Makefile"]
README = (ROOT / "README.md").read_text()


def code_in(page):
    """Fenced and indented blocks, and `inline code`: prose may say "make sure"."""
    text = page.read_text()
    if page.name == "Makefile":
        return text.replace("\t$(BIN)/", "")
    fenced = re.findall(r"```.*?\n(.*?)```", text, flags=re.S)
    indented = re.findall(r"^    (?! )(.*)$", text, flags=re.M)
    return "\n".join([*fenced, *indented, *re.findall(r"`([^`\n]+)`", text)])


def commands(program, page):
    """The first word after each `program` that stands where a command stands."""
    return set(
        re.findall(
            rf"(?:^|\n|bin/|-m |&& )\$?{program} (?:PYTHON=\S+ )?([a-z][a-z-]*)", code_in(page)
        )
    )


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.S)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_named_in_a_page_exists(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    assert commands("make", page) - targets == set()
    assert commands("ringmoe", page) - set(VERBS) == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_flag_given_to_a_verb_in_a_page_exists(page, capsys):
    lines = code_in(page).replace("\\\n", " ").splitlines()
    for line in lines:
        found = re.match(r"(?:\S*bin/)?(?:torchrun .*-m )?ringmoe (\w+)(.*)", line)
        if found and found[1] in VERBS:
            with pytest.raises(SystemExit):
                main([found[1], "--help"])
            known = set(re.findall(r"--[a-z][a-z-]*", capsys.readouterr().out)) | {"--debug"}
            assert set(re.findall(r"--[a-z][a-z-]*", found[2].split("#")[0])) - known == set(), line


def test_the_pages_name_files_that_exist():
    for page in PAGES:
        prose = re.sub(r"(?s)```.*?```|`[^`\n]+`|\n    [^\n]*", "", page.read_text())
        links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", prose)
        assert [link for link in links if not (page.parent / link).exists()] == [], page


def test_the_readme_shows_the_two_commands_first():
    assert re.findall(r"^make (\w+)", blocks("sh")[0], flags=re.M) == ["demo", "test"]


@pytest.mark.slow
@pytest.mark.parametrize("code", blocks("python"))
def test_the_python_example_runs(code, tmp_path):
    """It prints the shapes that its comment promises: strides 4 to 32 of 96 px, C doubling."""
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == str(
        [(2, 32 * 2**i, 96 // 4 // 2**i, 96 // 4 // 2**i) for i in range(4)]
    )


def test_pages_name_nothing_of_the_machine_they_were_written_on():
    for page in PAGES:
        assert not re.search(r"/(home|root|work|tmp)/", page.read_text()), page


def test_the_installed_command_answers():
    command = [Path(sys.executable).with_name("ringmoe"), "--help"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert all(verb in result.stdout for verb in VERBS)
