"""The model card: a version described for people, section by section (Mitchell et al., 2019), from its records.

Owns what stands where. What only a person can say is left open and says so.
"""

from modelyard.delivery.domain import StageName
from modelyard.features.domain import AppliedOnDemand
from modelyard.features.domain.profiles import TableProfile
from modelyard.governance.domain import CardLine, CardSection, CardSource, Measured, ModelCard
from modelyard.governance.records import Records
from modelyard.web.words import exact, short

NORMAL_95 = 1.96
NEEDS_PERSON = "Not written yet: a person has to say it."


def card_of(records: Records, profile: TableProfile | None = None, erased: int | None = 0) -> ModelCard:
    """The card of a version; `profile` is of its training snapshot, where that can still be read.

    `erased` counts the snapshot's rows about entities that were erased since.
    """
    declaration = records.declaration
    return ModelCard(
        model=records.version.model,
        version=records.version.number,
        delivery=records.detail.delivery.id,
        run=records.version.run or "",
        purpose=declaration.purpose,
        owner=declaration.owner,
        risk=declaration.risk,
        artifact=records.version.artifact,
        created_at=records.version.created_at,
        sections=(
            _details(records),
            CardSection(
                id="MC-2",
                title="Intended use",
                lines=_lines(("Purpose", declaration.purpose, CardSource.DECLARATION)),
                open="Uses out of scope: " + NEEDS_PERSON,
            ),
            _factors(records),
            CardSection(
                id="MC-4", title="Metrics", lines=_gates(records), measured=overall(records), open="Why these metrics: " + NEEDS_PERSON
            ),
            _evaluation_data(records),
            _training_data(records, profile, erased),
            CardSection(id="MC-7", title="Quantitative analyses", measured=by_slice(records)),
            CardSection(id="MC-8", title="Ethical considerations", open=NEEDS_PERSON),
            CardSection(id="MC-9", title="Caveats and recommendations", open=NEEDS_PERSON),
        ),
    )


def overall(records: Records) -> tuple[Measured, ...]:
    """Each metric on all evaluation rows."""
    facts = records.facts(StageName.EVALUATE)
    errors = facts.get("standard_errors") or {}
    return tuple(
        _measured(name, value, errors.get(name), rows=facts["rows"]) for name, value in facts["metrics"].items() if value is not None
    )


def by_slice(records: Records) -> tuple[Measured, ...]:
    """The first metric on each declared slice that is large enough."""
    return tuple(
        _measured(one["metric"], one["is"], one.get("error"), rows=one["rows"], slice_=f"{one['column']} = {one['value']}")
        for one in records.facts(StageName.EVALUATE)["slices"]
        if one.get("is") is not None
    )


def _measured(metric: str, value: float, error: float | None, *, rows: int | None = None, slice_: str = "") -> Measured:
    margin = None if error is None else NORMAL_95 * error
    return Measured(
        metric=metric,
        value=value,
        low=None if margin is None else value - margin,
        high=None if margin is None else value + margin,
        rows=rows,
        slice=slice_,
    )


def _details(records: Records) -> CardSection:
    facts, version = records.facts(StageName.TRAIN), records.version
    parameters = ", ".join(f"{name}={value}" for name, value in version.parameters.items())
    lines = _lines(
        ("Version", f"{version.model} v{version.number}", CardSource.VERSION),
        ("Owner", records.declaration.owner, CardSource.DECLARATION),
        ("Risk", records.declaration.risk, CardSource.DECLARATION),
        ("Registered", exact(version.created_at), CardSource.VERSION),
        ("Type", f"{facts.get('kind', '')} ({version.format})", CardSource.TRAINING),
        ("Answers", "a probability" if records.declaration.task == "binary" else "a number", CardSource.DECLARATION),
        ("Inputs", ", ".join(records.declaration.inputs), CardSource.DECLARATION),
        ("Parameters", parameters, CardSource.VERSION),
        ("Begun by", records.starter.name or records.starter.id, CardSource.DELIVERY),
    )
    return CardSection(id="MC-1", title="Model details", lines=lines, open="Licence and contact: " + NEEDS_PERSON)


def _factors(records: Records) -> CardSection:
    slices = ", ".join(records.declaration.slices)
    lines = _lines(("Evaluated by", slices or "no slice was declared", CardSource.DECLARATION))
    return CardSection(id="MC-3", title="Factors", lines=lines, open="Which groups and conditions matter: " + NEEDS_PERSON)


def _gates(records: Records) -> tuple[CardLine, ...]:
    return _lines(*(("Gate", f"{one.expression}: {'passed' if one.passed else 'failed'}", CardSource.GATES) for one in records.gates))


def _evaluation_data(records: Records) -> CardSection:
    facts = records.facts(StageName.EVALUATE)
    apart = "all later than the training rows" if records.declaration.as_of else "apart from the training rows by a hash of their inputs"
    lines = _lines(
        ("Rows", f"{facts['rows']:,}, {apart}", CardSource.EVALUATION),
        *((term, exact(facts[name]), CardSource.EVALUATION) for term, name in (("From", "from"), ("To", "to")) if name in facts),
        ("Label", records.declaration.label, CardSource.DECLARATION),
    )
    return CardSection(id="MC-5", title="Evaluation data", lines=lines, open="Why this data: " + NEEDS_PERSON)


def _training_data(records: Records, profile: TableProfile | None, erased: int | None) -> CardSection:
    snapshot = records.facts(StageName.SNAPSHOT)
    missing = [f"{one.name} {one.null_share:.1%}" for one in profile.columns if one.nulls] if profile else []
    lines = _lines(
        ("Snapshot", snapshot["digest"], CardSource.SNAPSHOT),
        ("Rows", f"{records.facts(StageName.TRAIN)['rows']:,} of {snapshot['rows']:,}", CardSource.TRAINING),
        ("As of", exact(snapshot["as_of"]), CardSource.SNAPSHOT),
        ("Views", ", ".join(f"{use.view} ({use.rows:,} rows of its source)" for use in records.sources), CardSource.SNAPSHOT),
        *(("On demand", _function(records, one), CardSource.DECLARATION) for one in records.on_demand),
        ("Personal data", ", ".join(records.personal), CardSource.DECLARATION),
        ("Erased since", f"{erased:,} rows are about entities whose values were erased since" if erased else "", CardSource.SNAPSHOT),
        ("Missing values", ", ".join(missing) if profile else "", CardSource.SNAPSHOT),
    )
    return CardSection(id="MC-6", title="Training data", lines=lines, open="How it was collected, and what it lacks: " + NEEDS_PERSON)


def _function(records: Records, one: AppliedOnDemand) -> str:
    who = records.actor(one.applied_by)
    return f"{one.function.name} v{one.number} ({short(one.digest)}), trusted by {who.name or who.id} on {exact(one.applied_at)}"


def _lines(*found: tuple[str, str, CardSource]) -> tuple[CardLine, ...]:
    return tuple(CardLine(term=term, value=str(value), source=source) for term, value, source in found if value)
