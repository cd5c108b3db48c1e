"""What else is on record around a version: where it answered, what was logged and watched, how it was made again, what changed.

Each function answers a document for the dossier, or None where there is nothing to show. Reads by the services of other components.
"""

import io
from functools import lru_cache
from typing import Any

import msgspec
import polars as pl

from modelyard.access.domain import SYSTEM
from modelyard.core.clock import SECOND, Instant, iso
from modelyard.core.digests import Digest
from modelyard.core.errors import Kind, ModelyardError
from modelyard.delivery.domain import SAME, StageName
from modelyard.delivery.service import list_version_reproductions, next_due
from modelyard.features.domain import AppliedOnDemand
from modelyard.features.domain.profiles import TableProfile
from modelyard.features.erased import count_erased
from modelyard.features.profile import profiled
from modelyard.features.service import erasures_since
from modelyard.governance.domain import DOSSIER_MADE
from modelyard.governance.records import Records
from modelyard.ledger.domain import Entry
from modelyard.ledger.service import list_entries, log_facts
from modelyard.monitoring.service import get_monitoring, list_alerts
from modelyard.registry.service import compare_versions, list_alias_moves, list_versions, show_version
from modelyard.serving.domain import PredictionQuery, RevisionDetail
from modelyard.serving.service import count_predictions, list_revisions
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Snapshot
from modelyard.storage.tables import Tables

Document = dict[str, Any]
MOST = 200
STAGE_DONE = "delivery.stage_done"
PAGES = 5


class Stores(msgspec.Struct, frozen=True, kw_only=True):
    """Where records are read: one snapshot, the blobs and the tables."""

    snapshot: Snapshot
    blobs: Blobs
    tables: Tables


def gathered(stores: Stores, records: Records, profile: TableProfile | None) -> dict[str, Document]:
    """Every document that there is, by the catalogue's name of the fact."""
    snapshot = stores.snapshot
    revisions = _revisions(snapshot, records)
    found = {
        "model.inventory": inventory(snapshot, records),
        "data.profile": msgspec.to_builtins(profile) if profile is not None else None,
        "data.prep": preparation(records) | personal_data(stores, records),
        "run.compute": compute(snapshot, records),
        "run.reproduction": reproduction(snapshot, records),
        "deploy.record": deployment(records, revisions),
        "deploy.history": history(snapshot, records, revisions),
        "serve.logs": predictions(stores.tables, records, revisions),
        "change.log": changes(snapshot, records),
        "audit.log": log(snapshot),
        "dossier.export": earlier(snapshot, records),
        **monitoring(snapshot, records),
    }
    return {name: document for name, document in found.items() if document}


@lru_cache(maxsize=16)
def _profile_of(blobs: Blobs, file: Digest) -> TableProfile:
    return profiled(pl.read_parquet(io.BytesIO(blobs.get_bytes(file))))


def snapshot_profile(blobs: Blobs, records: Records) -> TableProfile | None:
    """The profile of the training snapshot; None where its file is gone."""
    try:
        return _profile_of(blobs, Digest(records.facts(StageName.SNAPSHOT)["file"]))
    except ModelyardError as error:
        if error.kind is not Kind.MISSING:
            raise
        return None


def inventory(snapshot: Snapshot, records: Records) -> Document:
    """The model's entry in the inventory."""
    version, retrain = records.version, records.declaration.retrain
    detail = show_version(snapshot, SYSTEM, version.model, version.number)
    due = iso(next_due(retrain.schedule, snapshot.now())) if retrain.schedule else "not scheduled"
    return {
        "model": version.model,
        "version": version.number,
        "status": detail.state.value,
        "aliases": list(detail.aliases),
        "use": records.declaration.purpose,
        "owner": records.declaration.owner,
        "team": records.model.team_id,
        "riskTier": records.declaration.risk,
        "lastValidatedOn": iso(records.ended_at(StageName.CHALLENGE)),
        "nextValidationDue": due,
        "upstream": [use.view for use in records.sources],
        "downstream": "no model of this installation reads another one's answers",
        "versions": len(list_versions(snapshot, SYSTEM, version.model)),
    }


def preparation(records: Records) -> Document:
    """The feature definitions that made the rows, as declared, and who let the functions run that compute some on demand."""
    features = records.declaration.features
    if features is None:
        return {"request": msgspec.to_builtins(records.declaration.request), "views": []}
    computed = {"onDemand": [_function(records, one) for one in records.on_demand]} if records.on_demand else {}
    return {"featureSet": features.digest, "views": msgspec.to_builtins(features.views), **computed}


def _function(records: Records, one: AppliedOnDemand) -> Document:
    return {
        "name": one.function.name,
        "version": one.number,
        "digest": one.digest,
        "inputs": one.function.dtypes,
        "gives": one.function.dtype,
        "source": one.function.source,
        "provedRows": one.rows,
        "trustedBy": msgspec.to_builtins(records.actor(one.applied_by)),
        "trustedOn": iso(one.applied_at),
    }


def personal_data(stores: Stores, records: Records) -> Document:
    """What the version reads that says something of a person, and what was erased of its training rows' entities since."""
    features = records.declaration.features
    if features is None:
        return {}
    erasures = erasures_since(stores.snapshot, features, snapshot_at(records))
    return {
        "personal": list(records.personal),
        "erasures": [{"erasure": one.id, "entity": one.entity, "on": iso(one.erased_at)} for one in erasures],
        "trainingRowsOfErased": erased_rows(stores.snapshot, stores.blobs, records),
    }


def snapshot_at(records: Records) -> Instant:
    """The instant that the training snapshot was made as of."""
    return Instant(records.facts(StageName.SNAPSHOT)["as_of"])


def erased_rows(snapshot: Snapshot, blobs: Blobs, records: Records) -> int | None:
    """How many rows of the training snapshot are about entities that were erased since; None where its file is gone."""
    features = records.declaration.features
    if features is None or not erasures_since(snapshot, features, snapshot_at(records)):
        return 0
    try:
        content = blobs.get_bytes(Digest(records.facts(StageName.SNAPSHOT)["file"]))
    except ModelyardError as error:
        if error.kind is not Kind.MISSING:
            raise
        return None
    keys = pl.read_parquet(io.BytesIO(content), columns=[key.name for key in features.keys])
    return count_erased({view.entity for view in features.views}, keys, snapshot_at(records))


def compute(snapshot: Snapshot, records: Records) -> Document | None:
    """How long training took by the machine's clock, and on what. Memory and energy are not measured."""
    took = _wall_s(snapshot, records)
    facts = records.facts(StageName.TRAIN)
    if took is None or not facts.get("processor"):
        return None
    return {
        "trainingStageSeconds": round(took, 3),
        "measuredAs": "machine time between the ledger's entries of the stage before and of the training stage",
        "processor": facts["processor"],
        "threads": facts["threads"],
        "rows": facts["rows"],
        "energy": "not measured",
    }


def _wall_s(snapshot: Snapshot, records: Records) -> float | None:
    ended: dict[str, Instant] = {}
    before: int | None = None
    for _ in range(PAGES):
        page = list_entries(snapshot, type=STAGE_DONE, subject=f"model:{records.version.model}", before=before, limit=MOST)
        for entry in page.entries:
            if entry.data.get("delivery") == records.detail.delivery.id:
                ended[str(entry.data["stage"])] = entry.recorded_at
        if {StageName.CHECK, StageName.TRAIN} <= set(ended) or page.before is None:
            break
        before = page.before
    if not {StageName.CHECK, StageName.TRAIN} <= set(ended):
        return None
    return (ended[StageName.TRAIN] - ended[StageName.CHECK]) / SECOND


def reproduction(snapshot: Snapshot, records: Records) -> Document | None:
    """The newest attempt to make the version again that came out the same."""
    listed = list_version_reproductions(snapshot, SYSTEM, records.version.model, records.version.number)
    ended = [one for one in listed if one.is_evidence]
    same = next((one for one in ended if one.verdict in SAME), None)
    if same is None:
        return None
    return {
        "reproduction": same.id,
        "verdict": str(same.verdict),
        "endedOn": iso(same.ended_at or same.asked_at),
        "durationSeconds": same.duration_s,
        "tolerance": same.tolerance,
        "processor": same.processor,
        "comparisons": [
            {"what": one.what, "isEqual": one.is_equal, "recorded": one.recorded, "rebuilt": one.rebuilt} for one in same.comparisons
        ],
        "attempts": len(ended),
    }


def _revisions(snapshot: Snapshot, records: Records) -> list[RevisionDetail]:
    """The revisions under which the version was loaded, newest first."""
    try:
        found = list_revisions(snapshot, SYSTEM, records.version.model, limit=MOST)
    except ModelyardError as error:
        if error.kind is not Kind.MISSING:
            raise
        return []
    return [one for one in found if records.version.number in one.revision.traffic.versions]


def deployment(records: Records, revisions: list[RevisionDetail]) -> Document | None:
    """Where the version answers, or answered last, since when, and for which share."""
    last = next((one for one in revisions if one.active_at is not None), None)
    return None if last is None else _revision(records, last)


def _revision(records: Records, one: RevisionDetail) -> Document:
    traffic, number = one.revision.traffic, records.version.number
    canary = traffic.canary
    share = (
        canary.share
        if canary and canary.version == number
        else 1.0 - (canary.share if canary else 0.0)
        if traffic.champion == number
        else 0.0
    )
    return {
        "revision": one.revision.number,
        "state": one.state.value,
        "share": share,
        "isShadow": number in traffic.shadows,
        "cause": one.revision.cause,
        "by": one.revision.actor,
        "activeOn": iso(one.active_at) if one.active_at is not None else None,
        "endedOn": iso(one.ended_at) if one.ended_at is not None else None,
        "artifact": records.version.artifact,
        "gateways": [{"gateway": each.gateway, "switchedOn": iso(each.switched_at)} for each in one.switches],
    }


def history(snapshot: Snapshot, records: Records, revisions: list[RevisionDetail]) -> Document | None:
    """Every promotion and rollback that the version was part of, in order, with the moves of aliases."""
    version = records.version
    moves = [one for one in list_alias_moves(snapshot, SYSTEM, version.model) if version.number in (one.before, one.after)]
    if not revisions:
        return None
    return {
        "revisions": [_revision(records, one) for one in reversed(revisions)],
        "aliasMoves": [
            {"alias": one.name, "before": one.before, "after": one.after, "on": iso(one.moved_at), "by": one.moved_by}
            for one in reversed(moves)
        ],
    }


def predictions(tables: Tables, records: Records, revisions: list[RevisionDetail]) -> Document | None:
    """What the model answered, from the prediction log, while the version had traffic."""
    active = [one for one in revisions if one.active_at is not None]
    if not active:
        return None
    since = min(one.active_at for one in active if one.active_at is not None)
    until = max(one.ended_at or Instant(2**62) for one in active)
    found = count_predictions(tables, PredictionQuery(model=records.version.model, since=since, until=until, only=()))
    if not found.rows:
        return None
    return {
        "predictions": found.rows,
        "firstOn": iso(found.first_at),
        "lastOn": iso(found.last_at),
        "holds": "time, version, revision, arm, keys, inputs, output, latency; durable before the answer is sent",
        "about": "the model's answers between the version's first and last traffic, by whichever version",
    }


def monitoring(snapshot: Snapshot, records: Records) -> dict[str, Document | None]:
    """What is watched, what the last looks found, and which alerts there were."""
    model = records.version.model
    try:
        standing = get_monitoring(snapshot, SYSTEM, model)
    except ModelyardError as error:
        if error.kind is not Kind.MISSING:
            raise
        return {}
    watched = standing.watched
    alerts = list_alerts(snapshot, SYSTEM, model, limit=MOST)
    return {
        "monitor.config": {
            "monitors": msgspec.to_builtins(watched.monitors),
            "setBy": watched.set_by,
            "setOn": iso(watched.set_at),
            "approvedLevels": msgspec.to_builtins(standing.levels),
        },
        "monitor.results": None
        if standing.report is None
        else {"report": msgspec.to_builtins(standing.report), "ofVersion": standing.report.version},
        "monitor.alerts": {
            "count": len(alerts),
            "open": sum(one.is_open for one in alerts),
            "alerts": [
                {"alert": one.id, "kind": one.kind.value, "title": one.title, "openedOn": iso(one.opened_at), "closedWhy": one.closed_why}
                for one in alerts
            ],
        },
    }


def changes(snapshot: Snapshot, records: Records) -> Document:
    """What differs from the version before."""
    version = records.version
    listed = list_versions(snapshot, SYSTEM, version.model, before=version.number, limit=1)
    if not listed:
        return {"since": None, "said": "the first version of the model"}
    before = listed[0].version.number
    found = compare_versions(snapshot, SYSTEM, version.model, before, version.number)
    return {
        "since": before,
        "sameContent": found.same_content,
        "differences": msgspec.to_builtins(found.differences),
        "metrics": msgspec.to_builtins(found.metrics),
    }


def log(snapshot: Snapshot) -> Document | None:
    """The ledger when the dossier was put together: its size, and the last signed checkpoint."""
    found = log_facts(snapshot)
    if found.checkpoint is None:
        return None
    return {
        "origin": found.checkpoint.origin,
        "entries": found.size,
        "checkpointSize": found.checkpoint.size,
        "checkpointSignedOn": iso(found.checkpoint.signed_at),
    }


def earlier(snapshot: Snapshot, records: Records) -> Document | None:
    """The dossiers that were made of the version before this one."""
    entries = list_entries(snapshot, type=DOSSIER_MADE, subject=f"model:{records.name}", limit=MOST).entries
    return {"dossiers": [_dossier(one) for one in reversed(entries)]} if entries else None


def _dossier(entry: Entry) -> Document:
    return {"dossier": str(entry.data.get("dossier")), "digest": entry.digest, "madeOn": iso(entry.occurred_at), "entry": entry.index}
