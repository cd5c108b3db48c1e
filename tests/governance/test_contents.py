"""What a dossier is made of, from a version that was shipped for real: a card, a bill of materials and a lineage by their schemas."""

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from modelyard.core.errors import NotFound
from modelyard.governance.answers import answers_of
from modelyard.governance.bom import Bill, bill_of
from modelyard.governance.domain import ATTESTATIONS, BOM, LINEAGE, MODEL_SIGNATURE, Status
from modelyard.governance.events import events_of
from modelyard.governance.evidence import found_of
from modelyard.governance.facts import Stores, gathered, snapshot_profile
from modelyard.governance.records import Records, records_of
from modelyard.governance.requirements import catalogue
from modelyard.governance.rules.lineage import lineage_lines, walked_back
from modelyard.governance.rules.packages import locked_packages
from modelyard.governance.service import get_card
from modelyard.registry.domain import ModelName
from modelyard.server.installation import Installation
from tests.conftest import START
from tests.governance.shipping import ADA, EVE, LATE

# Each worker would let a model through of its own.
pytestmark = pytest.mark.xdist_group("let through")

LOCK = b"""
[[package]]
name = "mine"
source = { virtual = "." }
dependencies = [{ name = "numpy" }]
[[package]]
name = "numpy"
version = "2"
source = { registry = "x" }
"""
SCHEMAS = Path(__file__).parent / "schemas"


@pytest.fixture(scope="module")
def records(yard: Installation) -> Records:
    """The records of the first version of `late`."""
    with yard.database.read() as snapshot:
        return records_of(snapshot, yard.blobs, LATE, 1)


@pytest.fixture(scope="module")
def bill(yard: Installation, records: Records) -> Bill:
    """Its bill of materials."""
    with yard.database.read() as snapshot:
        stores = Stores(snapshot=snapshot, blobs=yard.blobs, tables=yard.tables)
        documents = gathered(stores, records, snapshot_profile(yard.blobs, records))
    return bill_of(records, locked_packages(LOCK, {}), documents, catalogue().facts, START)


def validator(name: str) -> Any:
    """A validator by a schema of the folder beside, which follows references to its siblings."""
    jsonschema, referencing = importlib.import_module("jsonschema"), importlib.import_module("referencing")
    found = {path.stem: json.loads(path.read_text()) for path in SCHEMAS.glob("*.json")}
    beside = [(one["$id"], referencing.Resource.from_contents(one)) for one in found.values()]
    unused: list[tuple[str, Any]] = [
        (f"http://cyclonedx.org/schema/{other}", {"definitions": {"signature": {}}})
        for other in ("spdx.schema.json", "jsf-0.82.schema.json")
    ]
    more = [(uri, referencing.Resource.from_contents(one, default_specification=referencing.jsonschema.DRAFT7)) for uri, one in unused]
    registry = referencing.Registry().with_resources([*beside, *more])
    schema = found[name]
    return jsonschema.validators.validator_for(schema)(schema, registry=registry)


def test_the_bill_is_cyclonedx_1_6_with_a_model_card(bill: Bill) -> None:
    found = json.loads(bill.content)
    assert [error.message for error in validator("bom-1.6").iter_errors(found)] == []
    model = found["components"][0]
    assert (model["type"], model["name"], model["version"]) == ("machine-learning-model", "late", "1")
    assert [one["name"] for one in found["components"] if one["type"] == "library"] == ["numpy"]
    assert {one["type"] for one in model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]} >= {"roc_auc", "brier"}


def test_a_wrong_bill_would_be_found(bill: Bill) -> None:
    found = json.loads(bill.content)
    found["components"][0]["modelCard"]["invented"] = 1
    assert list(validator("bom-1.6").iter_errors(found))


def test_records_that_evidence_points_to_lie_in_the_bill(bill: Bill) -> None:
    found = json.loads(bill.content)
    told = {
        one["propertyName"]: json.loads(one["data"][0]["contents"]["attachment"]["content"]) for one in found["declarations"]["evidence"]
    }
    assert {"model.inventory", "data.profile", "data.prep", "run.compute", "change.log", "monitor.config"} <= set(told)
    assert told["model.inventory"]["lastValidatedOn"].endswith("Z")
    assert told["run.compute"]["trainingStageSeconds"] > 0
    assert told["change.log"]["said"] == "the first version of the model"


def test_the_lineage_is_openlineage_and_leads_from_the_sources_to_the_model(yard: Installation, records: Records) -> None:
    events = events_of(records, snapshot_profile(yard.blobs, records))
    by_schema = validator("OpenLineage")
    for line in lineage_lines(events).splitlines():
        assert [error.message for error in by_schema.iter_errors(json.loads(line))] == []
        check_facets(json.loads(line))
    path = walked_back(events, records.subject.sha256, str(records.version.snapshot).removeprefix("sha256:"))
    assert {name for name, _ in path.sources} == {"weather.parquet", "flights.parquet"}


def check_facets(event: dict[str, Any]) -> None:
    """Every facet is valid by the schema that it names."""
    named = [event["job"], event["run"], *event["inputs"], *event["outputs"]]
    groups = [one.get(name, {}) for one in named for name in ("facets", "outputFacets")]
    facets = [(name, facet) for group in groups for name, facet in group.items()]
    assert facets
    for name, facet in facets:
        schema = facet["_schemaURL"].rpartition("/")[2]
        assert [error.message for error in validator(schema).iter_errors({name: facet})] == []


def test_answers_rest_on_what_is_there(records: Records, bill: Bill, yard: Installation) -> None:
    digests = dict.fromkeys((*ATTESTATIONS.values(), MODEL_SIGNATURE, BOM, LINEAGE), "00" * 32)
    answers = answers_of(records, found_of(records, bill, events_of(records, None), digests), START)
    by_id = {one.id: one for one in answers.requirements}
    assert by_id["ISO42001-A.7.5"].status is Status.MET
    assert by_id["NIST-MEASURE-2.1"].status is Status.MET
    assert by_id["NIST-MEASURE-2.4"].reason == "not on record: monitor.results"
    assert by_id["SS123-4.3"].reason == "not on record: deploy.record, run.reproduction"
    assert by_id["EUAIA-12.1"].status is Status.NOT_APPLICABLE


def test_a_card_has_the_nine_sections_and_leaves_open_what_a_person_has_to_say(yard: Installation) -> None:
    with yard.database.read() as snapshot:
        card = get_card(snapshot, yard.blobs, EVE, LATE, 1)
    assert [one.id for one in card.sections] == [f"MC-{number}" for number in range(1, 10)]
    sections = {one.id: one for one in card.sections}
    metric = next(one for one in sections["MC-4"].measured if one.metric == "roc_auc")
    assert metric.low is not None
    assert metric.low < metric.value < (metric.high or 0)
    assert sections["MC-9"].open
    assert {one.term: one.value for one in sections["MC-1"].lines}["Begun by"] == ADA.id


def test_a_card_of_what_is_not_there_is_told(yard: Installation) -> None:
    with yard.database.read() as snapshot, pytest.raises(NotFound):
        get_card(snapshot, yard.blobs, EVE, ModelName("nothing"), 1)
