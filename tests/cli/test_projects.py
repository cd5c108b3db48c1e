"""What a project declares, as the commands read it: by the settings of its file and of the environment."""

from collections.abc import Callable
from pathlib import Path

import pytest

from modelyard.access.domain import Role
from modelyard.cli.origin import origin_of
from modelyard.cli.projects import declarations
from modelyard.cli.starting import Example, Service, project_files
from modelyard.core.settings import PREFIX, read_settings
from modelyard.delivery.sources import source_archive
from tests.cli.conftest import Yard
from tests.delivery.declaring import FLIGHTS, WEATHER, write_sources

MODULE = """
from modelyard import Entity, FeatureView, Parquet, model, rows

weather = FeatureView("weather", Entity("origin"), Parquet("w.parquet", timestamp="at"), features=["wind"], ttl="3h")

@model(owner="ops", risk="limited", purpose="Warn.", features=[weather], as_of="2h before scheduled_at", label="late",
       rows=rows("f.parquet", timestamp="scheduled_at", known="landed_at"), request={{"hour": int}})
def {name}(rows):
    return None
"""


def test_modules_named_in_the_environment_are_read_instead_of_the_file_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "modelyard.toml").write_text('[project]\nmodels = ["first"]\n')
    for name in ("first", "second"):
        (tmp_path / f"{name}.py").write_text(MODULE.format(name=name))
    archive = source_archive(tmp_path)
    assert [one.name for one in declarations(tmp_path, archive)] == ["first"]
    monkeypatch.setenv("MODELYARD_PROJECT__MODELS", "second")
    assert [one.name for one in declarations(tmp_path, archive)] == ["second"]
    monkeypatch.setenv("MODELYARD_PROJECT__MODELS", '["second", "first"]')
    assert sorted(one.name for one in declarations(tmp_path, archive)) == ["first", "second"]
    monkeypatch.delenv("MODELYARD_PROJECT__MODELS")
    assert [one.name for one in declarations(tmp_path, archive)] == ["first"]


@pytest.mark.parametrize("service", list(Service))
def test_the_variables_of_a_workflow_are_no_wrong_settings(service: Service) -> None:
    files = project_files("mine", Example.PARCELS, service, origin_of({}, "0.1.0"))
    named = {word.split(":")[0] for text in files.values() for word in text.split() if word.startswith(PREFIX) and ":" in word}
    assert named
    read_settings(None, dict.fromkeys(named, "x"), {})


def test_plan_and_apply_say_one_document_each(yard: Yard, as_role: Callable[[Role], None], tmp_path: Path) -> None:
    assert yard("plan", "--json").json["error"]["hint"]
    write_sources(tmp_path)
    (tmp_path / "modelyard.toml").write_text('[project]\nmodels = ["late_flights"]\n')
    declared = MODULE.format(name="late_flights").replace("w.parquet", WEATHER).replace("f.parquet", FLIGHTS)
    (tmp_path / "late_flights.py").write_text(declared)
    as_role(Role.ADMIN)
    planned = yard("plan", "--json")
    assert (planned.code, planned.err) == (0, ""), planned.out
    assert {change["kind"] for one in planned.json for change in one["changes"]} == {"add"}
    (applied,) = yard("apply", "--json").json
    assert applied["declared"]["declaration"]["name"] == "late_flights"
    assert [one["changes"] for one in yard("plan", "--json").json] == [[]]
    assert yard("plan").out == "Nothing would change.\n"
