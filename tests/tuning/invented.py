"""Studies whose trials are given and ended through the services, without a child: what comes of a trial is a function of its parameters."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from modelyard.access.domain import SYSTEM
from modelyard.core.digests import digest_bytes
from modelyard.delivery.search_space import SearchSpace
from modelyard.delivery.service import declare_model
from modelyard.sdk.tuning import choice, integers, loguniform
from modelyard.storage.database import Database
from modelyard.tuning.domain import HeldTrial, NewStudy, Study, StudyDetail, StudyRows, TrialState
from modelyard.tuning.sampling.proposals import Proposal
from modelyard.tuning.sampling.storage import DatabaseStorage
from modelyard.tuning.service import Outcome, claimed_preparation, claimed_trial, ended_trial, get_study, prepared, reported, start_study
from tests.delivery.declaring import declared, write_sources

SPACE = SearchSpace(
    domains={"rate": loguniform(1e-3, 0.5), "leaves": integers(2, 255), "kind": choice("gbdt", "dart")},
    defaults={"rate": 0.1, "leaves": 31, "kind": "gbdt"},
    objective="roc_auc",
)
LEASE_S = 60.0
Score = Callable[[Mapping[str, Any], int], list[float]]
ROWS = StudyRows(digest=digest_bytes(b"rows"), file=digest_bytes(b"file"), as_of=0, learned=1280, validated=320, held_back=400)  # type: ignore[arg-type]  # an instant


def begun(database: Database, folder: Path, space: SearchSpace = SPACE, **words: Any) -> Study:
    """A study of the model `late`, whose rows nobody has read yet."""
    write_sources(folder)
    declare_model(database, SYSTEM, declared(folder, tune=space))
    return database.write(lambda tx: start_study(tx, SYSTEM, NewStudy(model="late", **words))).study


def running(database: Database, folder: Path, **words: Any) -> Study:
    """A study that gives out its trials."""
    begun(database, folder, **words)
    held = database.write(lambda tx: claimed_preparation(tx, "w1", LEASE_S))
    assert held is not None
    database.write(lambda tx: prepared(tx, held, ROWS))
    return held


def taken(database: Database, holder: str = "w1", lease_s: float = LEASE_S) -> HeldTrial | None:
    """The next trial, taken up; None where there is none. A lease below 0 has run out before the next look."""
    return database.write(lambda tx: claimed_trial(tx, holder, lease_s))


def finished(database: Database, held: HeldTrial, score: Score) -> Proposal:
    """What the trial was given; its values are reported one by one until the pruner or the last ends it."""
    proposal = Proposal(DatabaseStorage(database), held)
    values = score(proposal.parameters, held.number)
    for step, value in enumerate(values):
        database.write(lambda tx, told={step: value}: reported(tx, held, told))  # type: ignore[misc]  # bound now
        if proposal.is_hopeless():
            outcome = Outcome(state=TrialState.PRUNED, reason=f"worse at step {step} than half of the others were")
            break
    else:
        outcome = Outcome(state=TrialState.COMPLETE, metrics={"roc_auc": values[-1], "log_loss": 1 - values[-1]})
    database.write(lambda tx: ended_trial(tx, held, outcome))
    return proposal


def standing(database: Database, study: Study) -> StudyDetail:
    """The study as it stands now."""
    with database.read() as snapshot:
        return get_study(snapshot, SYSTEM, study.id)
