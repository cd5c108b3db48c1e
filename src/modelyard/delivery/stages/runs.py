"""The tracking run of a delivery: one for each, in the experiment that bears the model's name. Owns what is logged to it."""

import msgspec

from modelyard.access.domain import SYSTEM
from modelyard.core.digests import Digest
from modelyard.core.ids import new_id
from modelyard.delivery import store
from modelyard.delivery.domain import Facts, StageName
from modelyard.delivery.stages.yard import Job
from modelyard.storage.database import Transaction
from modelyard.tracking.domain import Batch, Dataset, DatasetInput, ExperimentId, Metric, NewRun, NoSuchExperiment, RunId
from modelyard.tracking.service import (
    NewExperiment,
    create_experiment,
    create_run,
    digest_tags,
    find_experiment_by_name,
    finish_run,
    log_batch,
    log_inputs,
)


def started_run(tx: Transaction, job: Job, facts: Facts) -> str:
    """Opens the delivery's run, notes what the version is made of, and gives the run's id."""
    run = create_run(
        tx,
        SYSTEM,
        NewRun(experiment_id=_experiment(tx, job), name=f"{job.delivery.model}-{new_id('run')[-6:]}", user=job.delivery.cause.actor),
    )
    snapshot = job.facts(StageName.SNAPSHOT)
    parameters = {**job.delivery.parameters, "seed": facts["seed"], "threads": facts["threads"]}
    tags = digest_tags(source=Digest(facts["source"]), environment=Digest(facts["environment"]), snapshot=Digest(snapshot["digest"]))
    batch = Batch(
        run_id=run.facts.id,
        params=tuple((name, str(value)) for name, value in parameters.items()),
        tags=(*tags, ("modelyard.delivery", job.delivery.id)),
    )
    log_batch(tx, SYSTEM, batch)
    dataset = Dataset(
        name=f"{job.delivery.model} training rows", digest=snapshot["digest"][7:39], source_type="modelyard", source=snapshot["file"]
    )
    log_inputs(tx, SYSTEM, run.facts.id, [DatasetInput(dataset=dataset)])
    store.update_delivery(tx, msgspec.structs.replace(job.delivery, run=run.facts.id))
    return run.facts.id


def logged_metrics(tx: Transaction, job: Job, metrics: dict[str, float]) -> None:
    """Logs what the version was measured at, and ends the run."""
    run = RunId(job.facts(StageName.TRAIN)["run"])
    log_batch(tx, SYSTEM, Batch(run_id=run, metrics=tuple(Metric(key=name, value=value, at=tx.now()) for name, value in metrics.items())))
    finish_run(tx, SYSTEM, run)


def _experiment(tx: Transaction, job: Job) -> ExperimentId:
    try:
        return find_experiment_by_name(tx, SYSTEM, job.delivery.model).id
    except NoSuchExperiment:
        return create_experiment(tx, SYSTEM, NewExperiment(name=job.delivery.model, team_id=job.delivery.team_id)).id
