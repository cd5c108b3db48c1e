"""Personal data flows from a view to the versions that read it; what was erased since is counted in their training rows."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from modelyard.access.domain import SYSTEM
from modelyard.core.clock import iso
from modelyard.features.domain import NewErasure
from modelyard.features.erased import opened_tombstones
from modelyard.features.service import apply_view, erase_entity, get_view, list_on_demand_versions
from modelyard.features.store.erasures import ERASURES
from modelyard.fleet.service import get_trace
from modelyard.governance.attestations import dependencies
from modelyard.governance.facts import Stores, personal_data, preparation
from modelyard.governance.records import records_of
from modelyard.governance.sections import on_versions_page
from modelyard.governance.service import get_card
from modelyard.registry.service import show_version
from modelyard.server.installation import Installation
from tests.governance.shipping import ADA, LATE


@pytest.fixture
def flagged(yard: Installation) -> Iterator[Installation]:
    """The installation with its view's feature and key flagged after the version was trained; as it was again afterwards."""
    with yard.database.read() as snapshot:
        applied = get_view(snapshot, SYSTEM, "weather")
    entity = msgspec.structs.replace(applied.view.entity, personal=True)
    view = msgspec.structs.replace(applied.view, personal=("wind",), entity=entity)
    assert yard.database.write(lambda tx: apply_view(tx, SYSTEM, view, applied.root)).digest == applied.digest
    yield yard
    yard.database.write(lambda tx: apply_view(tx, SYSTEM, applied.view, applied.root))
    yard.database.write(lambda tx: tx.connection.execute(sa.delete(ERASURES)))
    tombstones = opened_tombstones()
    assert tombstones is not None
    tombstones.tell([])


def said(yard: Installation) -> tuple[dict[str, str], dict[str, Any], list[str]]:
    """The card's lines on training data, the dossier's document, and what the version's page says of it."""
    with yard.database.read() as snapshot:
        card = get_card(snapshot, yard.blobs, SYSTEM, LATE, 1)
        stores = Stores(snapshot=snapshot, blobs=yard.blobs, tables=yard.tables)
        document = personal_data(stores, records_of(snapshot, yard.blobs, LATE, 1))
        sections = on_versions_page(snapshot, SYSTEM, show_version(snapshot, SYSTEM, LATE, 1).version)
    lines = {line.term: line.value for section in card.sections if section.id == "MC-6" for line in section.lines}
    facts = [f"{fact.term} {fact.value}".strip() for section in sections if section.id == "personal" for fact in section.facts]
    return lines, document, facts


def test_personal_data_is_told_of_every_version_that_reads_it_and_erasures_of_those_trained_before(flagged: Installation) -> None:
    lines, document, facts = said(flagged)
    assert (lines["Personal data"], facts) == ("origin, wind", ["Reads origin and wind"])
    assert "Erased since" not in lines
    assert (document["personal"], document["erasures"], document["trainingRowsOfErased"]) == (["origin", "wind"], [], 0)
    done = erase_entity(flagged.database, flagged.online, ADA, NewErasure(entity="origin", keys={"origin": "JFK"}, why="asked"))
    lines, document, facts = said(flagged)
    assert document["erasures"][0]["erasure"] == done.id
    count = document["trainingRowsOfErased"]
    assert count > 0
    assert lines["Erased since"].startswith(f"{count:,} rows")
    assert facts[1] == "origin erased"


def test_a_trace_of_a_view_says_whose_data_it_holds(flagged: Installation) -> None:
    with flagged.database.read() as snapshot:
        found = get_trace(snapshot, SYSTEM, flagged.blobs, flagged.tables, flagged.settings, "weather")
    assert ("Personal data", "origin, wind") in [(fact.term, fact.value) for fact in found.itself.facts]


def test_a_version_names_the_functions_that_it_computes_by_and_who_let_them_run_when(yard: Installation) -> None:
    with yard.database.read() as snapshot:
        (trusted,) = list_on_demand_versions(snapshot, SYSTEM, "headwind")
        records = records_of(snapshot, yard.blobs, LATE, 1)
        card = get_card(snapshot, yard.blobs, SYSTEM, LATE, 1)
        trace = get_trace(snapshot, SYSTEM, yard.blobs, yard.tables, yard.settings, f"{LATE}/1")
        by_name = get_trace(snapshot, SYSTEM, yard.blobs, yard.tables, yard.settings, "headwind")
        sections = on_versions_page(snapshot, SYSTEM, show_version(snapshot, SYSTEM, LATE, 1).version)
    when = iso(trusted.applied_at)
    (said,) = preparation(records)["onDemand"]
    assert (said["name"], said["digest"], said["trustedBy"]["id"], said["trustedOn"]) == ("headwind", trusted.digest, ADA.id, when)
    (attested,) = [one for one in dependencies(records) if one.annotations.get("kind") == "function"]
    assert (attested.name, f"sha256:{attested.sha256}") == ("on-demand function headwind", trusted.digest)
    assert attested.annotations["trustedOn"] == when
    (line,) = [line.value for section in card.sections for line in section.lines if line.term == "On demand"]
    assert line.startswith("headwind v1 (") and "trusted by" in line
    (node,) = [one for part in trace.up for one in part.below if one.kind == "function"]
    assert (node.title, node.id, node.at) == ("headwind v1", trusted.digest, trusted.applied_at)
    assert [entry.type for entry in node.entries] == ["features.on_demand_trusted"]
    assert (by_name.itself.title, by_name.up[0].said) == ("headwind v1", "wind float64, distance int64")
    assert [node.title for node in by_name.down] == [LATE]
    assert [fact.term for one in sections if one.id == "on-demand" for fact in one.facts] == ["headwind v1"]
