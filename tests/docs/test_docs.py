"""The checks of the papers: each finds nothing in a sound copy and says what is off in a broken one."""

import shutil
from pathlib import Path

import pytest

from tools import docs

PAPERS = ("ARCHITECTURE.md", "CHANGELOG.md", "README.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "pyproject.toml")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the papers, with one package of the source."""
    for name in PAPERS:
        shutil.copy(docs.ROOT / name, tmp_path / name)
    shutil.copytree(docs.ROOT / "docs", tmp_path / "docs")
    package = tmp_path / "src/modelyard/core"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text('"""Core."""\n')
    return tmp_path


def break_paper(copy: Path, name: str, before: str, after: str) -> None:
    text = (copy / name).read_text("utf-8")
    assert before in text
    (copy / name).write_text(text.replace(before, after), "utf-8")


@pytest.mark.parametrize("check", [docs.check_architecture, docs.check_settings, docs.check_commands, docs.check_dependencies])
def test_a_sound_copy_has_nothing_to_say(copy: Path, check: docs.Check) -> None:
    assert list(check(copy)) == []


def test_a_package_that_architecture_does_not_name_is_said(copy: Path) -> None:
    (copy / "src/modelyard/attic").mkdir()
    (copy / "src/modelyard/attic/__init__.py").touch()
    assert list(docs.check_architecture(copy)) == ["ARCHITECTURE.md: the package `attic` is not in it"]


def test_an_architecture_that_grew_too_long_is_said(copy: Path) -> None:
    with (copy / "ARCHITECTURE.md").open("a") as file:
        file.write("more\n" * 250)
    assert "at most 250" in next(docs.check_architecture(copy))


def test_a_setting_with_another_default_is_said(copy: Path) -> None:
    break_paper(copy, "docs/settings.md", "| `7700` |", "| `7777` |")
    assert list(docs.check_settings(copy)) == ["docs/settings.md: `server.port` is int `7700`, not int `7777`"]


def test_a_setting_that_is_missing_and_one_that_does_not_exist_are_said(copy: Path) -> None:
    break_paper(copy, "docs/settings.md", "`server.port`", "`server.harbour`")
    assert list(docs.check_settings(copy)) == [
        "docs/settings.md: `server.port` is missing",
        "docs/settings.md: there is no setting `server.harbour`",
    ]


def test_a_command_that_is_missing_and_one_that_does_not_exist_are_said(copy: Path) -> None:
    break_paper(copy, "docs/commands.md", "| `yard up` |", "| `yard down` |")
    assert list(docs.check_commands(copy)) == [
        "docs/commands.md: `yard up` is missing",
        "docs/commands.md: there is no command `yard down`",
    ]


def test_entry_types_are_found_as_literals_and_as_heads_with_a_word(copy: Path) -> None:
    source = 'def _record(tx, what):\n    note(f"tracking.run_{what}")\n\n_record(1, "a" if x else "b")\nnote("access.seen")\n'
    (copy / "src/modelyard/core/example.py").write_text(source)
    assert docs.entry_types(copy) == {"tracking.run_a", "tracking.run_b", "access.seen"}


def test_an_entry_type_without_a_row_and_a_row_without_a_writer_are_said(copy: Path) -> None:
    (copy / "docs/ledger.md").write_text("| `access.gone` | nobody |\n")
    (copy / "src/modelyard/core/example.py").write_text('TYPE = "access.seen"\n')
    assert list(docs.check_ledger(copy)) == [
        "docs/ledger.md: the type `access.seen` is missing",
        "docs/ledger.md: nothing writes `access.gone`",
    ]


def test_a_dependency_without_a_line_is_said(copy: Path) -> None:
    break_paper(copy, "docs/adr/0002-dependencies.md", "- `msgspec`: ", "- `other`: ")
    assert list(docs.check_dependencies(copy)) == ["docs/adr/0002-dependencies.md: no line for `msgspec`"]


def test_a_link_that_leads_nowhere_is_said(copy: Path) -> None:
    (copy / "docs/extra.md").write_text("[here](glossary.md#run) [there](nowhere.md) [away](https://example.com)\n")
    assert list(docs.check_links(copy)) == ["docs/extra.md: the link nowhere.md leads nowhere"]


def test_a_changelog_without_unreleased_is_said(copy: Path) -> None:
    break_paper(copy, "CHANGELOG.md", "## Unreleased", "## Later")
    assert list(docs.check_changelog(copy)) == ["CHANGELOG.md: there is no section Unreleased"]


def test_a_path_of_one_machine_is_said(copy: Path) -> None:
    (copy / "docs/extra.md").write_text("fine\nlook into /root/notes\n")
    assert any(line.startswith("docs/extra.md:2: ") for line in docs.check_words(copy))


def test_a_generated_file_that_is_not_current_is_said(copy: Path) -> None:
    (copy / "tools").mkdir()
    for name, code in (("client", "print('client: differs'); raise SystemExit(1)"), ("migration", ""), ("errors", "")):
        (copy / f"tools/{name}.py").write_text(code)
    assert list(docs.check_generated(copy)) == ["client: differs"]


def test_a_hint_and_a_paper_that_name_no_command_are_said(copy: Path) -> None:
    source = (
        'raise X(f"no yard paint", hint=f"see {what}: yard runs" if a else f"yard ship {model}, yard token lost, or look into .yard is")\n'
    )
    (copy / "src/modelyard/core/example.py").write_text(source)
    (copy / "docs/example.md").write_text("`yard ship late`, `yard token`, `yard token create`, a yard sale, `yard sell x`.\n")
    assert list(docs.check_hints(copy)) == [
        "src/modelyard/core/example.py:1: the hint names yard runs, which is no command",
        "src/modelyard/core/example.py:1: the hint names yard token lost, which is no command",
        "docs/example.md: `yard sell` is no command",
    ]
