"""Search compiled to SQL finds what a plain evaluator of the grammar finds, in its order, page by page, on both databases."""

import contextlib
import functools
import itertools
import math
import random as plain_random
import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelyard.access.domain import SYSTEM
from modelyard.core.clock import Instant
from modelyard.storage.database import Database, TooManySteps, Transaction
from modelyard.tracking import service
from modelyard.tracking.domain import (
    DATASET_CONTEXT_TAG,
    Batch,
    Dataset,
    DatasetInput,
    ExperimentId,
    FilterInvalid,
    Metric,
    NewRun,
    Run,
    RunChange,
    RunStatus,
    TokenInvalid,
    View,
)
from modelyard.tracking.grammar import RUNS, Comparison, Order, parse_filter, parse_orders
from modelyard.tracking.sql import fingerprint, token_of
from tests.tracking.conftest import STRANGER, WRITER

WORDS = ["a", "A", "b", "aB", "a%", "a_b", "", "é", "z" * 70 + "1", "z" * 70 + "2", "[x]", "a*c", "a\\b"]
PATTERNS = ["a%", "z" * 70 + "%", "%B", "a_b", "%", "_", "A%", "z%2", "[x]", "a*c", "%\\%", "é", "É", ""]
NUMBERS = ["0", "1", "-1", "0.5", "2"]
COUNT = 40
MILLISECOND = 1000


def fill(tx: Transaction) -> None:
    """Runs with few distinct values, so that filters both hit and miss and orders have ties."""
    random = plain_random.Random(11)
    service.ensure_default(tx)
    for n in range(COUNT):
        new = NewRun(
            experiment_id=ExperimentId("0"),
            name=random.choice(WORDS[:6]),
            user=random.choice(["u", "U", ""]),
            started_at=Instant(random.choice([0, 1, 2]) * MILLISECOND + random.choice([0, 500])),
        )
        run_id = service.create_run(tx, WRITER, new).facts.id
        metrics = [
            Metric(key=key, value=random.choice([0.0, 0.5, 1.0, -1.0, math.nan]), at=Instant(n), step=random.choice([0, 1]))
            for key in ("m", "n x")
            for _ in range(random.choice([0, 1, 3]))
        ]
        params = tuple((key, random.choice(WORDS)) for key in ("p", "q") if random.random() < 0.7)
        tags = tuple((key, random.choice(WORDS)) for key in ("t",) if random.random() < 0.7)
        service.log_batch(tx, WRITER, Batch(run_id=run_id, metrics=tuple(metrics), params=params, tags=tags))
        dataset = DatasetInput(
            dataset=Dataset(name=random.choice(["d", "e"]), digest=random.choice(["1", "2"]), source_type="s", source="s"),
            tags={DATASET_CONTEXT_TAG: random.choice(["train", "eval"])},
        )
        if n % 2:
            service.log_inputs(tx, WRITER, run_id, [dataset])
        if n % 3 == 0:
            change = RunChange(status=random.choice(list(RunStatus)), ended_at=Instant(random.choice([1, 2, 3]) * MILLISECOND))
            service.update_run(tx, WRITER, run_id, change)


def _all(snapshot: Any) -> tuple[Run, ...]:
    return service.search_runs(snapshot, SYSTEM, (ExperimentId("0"),), service.Asked(limit=1000)).runs


@pytest.fixture
def runs(database: Database) -> list[Run]:
    """Forty runs in experiment 0."""
    database.write(fill)
    with database.read() as snapshot:
        return [service.get_run(snapshot, SYSTEM, one.facts.id) for one in _all(snapshot)]


def like(text: str, pattern: str, flags: int = 0) -> bool:
    """SQL's LIKE, without an escape character."""
    parts = (".*" if c == "%" else "." if c == "_" else re.escape(c) for c in pattern)
    return re.fullmatch("".join(parts), text, re.DOTALL | flags) is not None


def ilike(text: str, pattern: str) -> bool:
    """LIKE that does not mind the case of ASCII letters."""
    return like(text, pattern, re.IGNORECASE | re.ASCII)


COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "LIKE": like,
    "ILIKE": ilike,
    "IN": lambda a, b: a in b,
    "NOT IN": lambda a, b: a not in b,
}


def attribute(run: Run, key: str) -> Any:
    """An attribute as the grammar knows it; times in whole milliseconds."""
    facts = run.facts
    return {
        "run_id": facts.id,
        "run_name": facts.name,
        "status": str(facts.status),
        "user_id": facts.user,
        "artifact_uri": facts.artifact_uri,
        "start_time": facts.started_at // MILLISECOND,
        "end_time": None if facts.ended_at is None else facts.ended_at // MILLISECOND,
    }[key]


def passes(run: Run, one: Comparison) -> bool:
    """Whether the run passes one comparison, said as plainly as can be."""
    compare = COMPARE.get(one.operator)
    if one.entity == "metric":
        found = [m.value for m in run.metrics if m.key == one.key]
        assert compare is not None
        return any(compare(math.nan if value is None else value, one.value) for value in found)
    if one.entity == "dataset":
        values = [d.tags[DATASET_CONTEXT_TAG] if one.key == "context" else getattr(d.dataset, one.key) for d in run.datasets]
        assert compare is not None
        return any(compare(value, one.value) for value in values)
    value = attribute(run, one.key) if one.entity == "attribute" else (run.params if one.entity == "parameter" else run.tags).get(one.key)
    if one.operator == "IS NULL":
        return value is None
    if one.operator == "IS NOT NULL":
        return value is not None
    assert compare is not None
    return value is not None and compare(value, one.value)


def sort_key(run: Run, order: Order) -> tuple[int, Any]:
    """Where the run stands by one key: values first, then NaN, then what is missing; `order` turns only the values."""
    if order.entity == "metric":
        found = next((m for m in run.metrics if m.key == order.key), None)
        if found is None:
            return (2, 0)
        return (1, 0) if found.value is None else (0, found.value)
    if order.entity == "attribute":
        value = (
            run.facts.started_at
            if order.key == "start_time"
            else run.facts.ended_at
            if order.key == "end_time"
            else attribute(run, order.key)
        )
    else:
        value = (run.params if order.entity == "parameter" else run.tags).get(order.key)
    is_text = order.entity != "attribute" or order.key not in ("start_time", "end_time")
    return (1, "" if is_text else 0) if value is None else (0, value)


def expected(runs: list[Run], text: str, orders: tuple[str, ...]) -> list[str]:
    """The ids that the filter finds, in their order."""
    found = [run for run in runs if all(passes(run, one) for one in parse_filter(text, RUNS))]
    found.sort(key=lambda run: (-run.facts.started_at, run.facts.id))
    for order in reversed(parse_orders(orders, RUNS)):
        found.sort(key=lambda run, order=order: sort_key(run, order)[1], reverse=not order.is_ascending)  # type: ignore[misc]  # bound at once
        found.sort(key=lambda run, order=order: sort_key(run, order)[0])  # type: ignore[misc]  # bound at once
    return [run.facts.id for run in found]


def quoted(words: list[str]) -> st.SearchStrategy[str]:
    """Texts of the grammar."""
    return st.sampled_from(words).map(lambda word: f"'{word}'")


NUMERIC = ["=", "!=", "<", "<=", ">", ">="]


def clause(form: str, *choices: list[str] | st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Comparisons of one form, its blanks filled from the choices."""
    return st.builds(form.format, *(st.sampled_from(one) if isinstance(one, list) else one for one in choices))


CLAUSES = st.one_of(
    clause("metrics.{} {} {}", ["m", "`n x`", "none"], NUMERIC, NUMBERS),
    clause("{} {} {}", ["params.p", "params.q", "tags.t"], ["=", "!="], quoted(WORDS)),
    clause("{} {} {}", ["params.p", "tags.t", "run_name"], ["LIKE", "ILIKE"], quoted(PATTERNS)),
    clause("{} {}", ["params.p", "tags.t", "tags.none"], ["IS NULL", "IS NOT NULL"]),
    clause("{} {} {}", ["start_time", "end_time"], NUMERIC, ["0", "1", "1.5", "2", "-1", "1e30"]),
    clause("status {} {}", ["=", "!="], quoted(["RUNNING", "FINISHED", "running"])),
    clause("run_name {} {}", ["=", "!="], quoted(WORDS[:6])),
    clause("user_id {} {}", ["=", "!=", "ILIKE"], quoted(["u", "U", ""])),
    clause("dataset.{} {} {}", ["name", "digest"], ["=", "!=", "LIKE"], quoted(["d", "1", "%"])),
    clause("dataset.context {}", ["= 'train'", "IN ('eval', 'x')", "NOT IN ('eval')"]),
)
ORDERS = st.lists(
    st.builds(
        "{} {}".format,
        st.sampled_from(["metrics.m", "metrics.`n x`", "params.p", "tags.t", "start_time", "end_time", "run_name", "status", "run_id"]),
        st.sampled_from(["ASC", "DESC"]),
    ),
    max_size=3,
    unique_by=lambda text: text.split()[0],
).map(tuple)


def found(database: Database, text: str, orders: tuple[str, ...], size: int) -> list[str]:
    """The ids that search finds, page by page."""
    ids: list[str] = []
    token = ""
    with database.read() as snapshot:
        while True:
            asked = service.Asked(filter=text, order_by=orders, limit=size, page=token)
            page = service.search_runs(snapshot, WRITER, (ExperimentId("0"),), asked)
            assert len(page.runs) <= size
            ids += [run.facts.id for run in page.runs]
            token = page.next
            if not token:
                return ids


WAYS = {
    "few matches lead": {},
    "an order is walked along": {"runsearch.MOST_LED": 0, "runsearch.MOST_LED_BESIDE_RANGE": 0},
    "matches are intersected": {"runsearch.MOST_LED": 0, "runsearch.MOST_LED_BESIDE_RANGE": 0, "runsearch.MOST_STEPS": 0},
}
"""What a search is led by, and the bounds that make it so with few runs."""


@contextlib.contextmanager
def led(way: str) -> Iterator[None]:
    """Has searches led that way while the block runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("modelyard.storage.database.STEPS_BETWEEN_LOOKS", 1)
        for name, value in WAYS[way].items():
            patch.setattr(f"modelyard.tracking.store.{name}", value)
        yield


def test_search_finds_what_a_plain_evaluator_finds_page_by_page(database: Database, runs: list[Run]) -> None:
    @settings(max_examples=150, suppress_health_check=[HealthCheck.nested_given])
    @given(st.lists(CLAUSES, max_size=3).map(" AND ".join), ORDERS, st.sampled_from([3, 7, 1000]), st.sampled_from(sorted(WAYS)))
    def holds(text: str, orders: tuple[str, ...], size: int, way: str) -> None:
        with led(way):
            assert found(database, text, orders, size) == expected(runs, text, orders)

    holds()


def test_whatever_leads_a_search_the_same_runs_are_found(database: Database, runs: list[Run]) -> None:
    for text in ("metrics.m >= 0 AND params.p = 'a'", "metrics.m < 1 AND metrics.`n x` <= 1", "tags.t LIKE 'a%' AND dataset.name = 'd'"):
        for orders in ((), ("metrics.m DESC",), ("params.q ASC", "end_time DESC")):
            assert (wanted := expected(runs, text, orders))
            for way in WAYS:
                with led(way):
                    assert found(database, text, orders, 2) == wanted, way


def test_a_query_that_takes_too_many_steps_ends_and_the_next_is_free(database: Database, runs: list[Run]) -> None:
    if database.dialect == "postgresql":
        pytest.skip("PostgreSQL has no such steps")
    with database.read() as snapshot:
        with pytest.raises(TooManySteps), snapshot.bounded(20_000):
            snapshot.connection.exec_driver_sql(
                "WITH RECURSIVE n(k) AS (SELECT 0 UNION ALL SELECT k + 1 FROM n LIMIT 1000000) SELECT max(k) FROM n"
            )
        assert snapshot.connection.exec_driver_sql("SELECT count(*) FROM runs").scalar_one() == COUNT


def test_ids_in_a_list_are_found(database: Database, runs: list[Run]) -> None:
    ids = sorted(run.facts.id for run in runs)
    listed = ", ".join(f"'{one}'" for one in ids[:3])
    assert sorted(found(database, f"run_id IN ({listed})", (), 10)) == ids[:3]
    assert sorted(found(database, f"run_id NOT IN ({listed})", (), 10)) == ids[3:]


def test_a_hostile_text_is_only_a_text(database: Database, runs: list[Run]) -> None:
    assert found(database, "params.p = '; DROP TABLE runs --'", (), 10) == []
    assert found(database, "metrics.`' OR 1=1 --` > 0", ('tags.`x"; --`',), 1000) == []
    with pytest.raises(FilterInvalid):
        found(database, f"params.p LIKE '{'%' * 10_001}'", (), 10)
    with pytest.raises(FilterInvalid):
        found(database, "params.p = 'a\0'", (), 10)


def test_a_page_stays_where_it_was_while_runs_are_added(database: Database, runs: list[Run]) -> None:
    asked = service.Asked(limit=10)
    with database.read() as snapshot:
        first = service.search_runs(snapshot, WRITER, (ExperimentId("0"),), asked)
    later = NewRun(experiment_id=ExperimentId("0"), started_at=Instant(10**12))
    database.write(lambda tx: service.create_run(tx, WRITER, later))
    with database.read() as snapshot:
        second = service.search_runs(snapshot, WRITER, (ExperimentId("0"),), service.Asked(limit=1000, page=first.next))
    seen = [run.facts.id for run in (*first.runs, *second.runs)]
    assert seen == expected(runs, "", ())


def test_a_token_of_another_search_is_refused(database: Database) -> None:
    for token in ("x", "%%%", "e30=", "WzFd", "WyJhIl0=", "é"):
        with database.read() as snapshot, pytest.raises(TokenInvalid):
            service.search_runs(snapshot, WRITER, (ExperimentId("0"),), service.Asked(page=token))


def test_a_token_that_somebody_made_up_is_refused(database: Database) -> None:
    database.write(service.ensure_default)
    ids = (ExperimentId("0"),)
    for order in ((), ("metrics.loss",), ("params.opt DESC",), ("end_time",)):
        asked = service.Asked(order_by=order)
        mark = fingerprint(ids, asked.filter, asked.order_by, asked.view)
        for value, count in itertools.product((2**70, "x", 1.5, True, "\0"), (2, 4, 5)):
            page = token_of(mark, [value] * count)
            with database.read() as snapshot, pytest.raises(TokenInvalid):
                service.search_runs(snapshot, WRITER, ids, msgspec.structs.replace(asked, page=page))


def test_a_stranger_finds_nothing_and_the_bin_is_searched_apart(database: Database, runs: list[Run]) -> None:
    database.write(lambda tx: service.delete_run(tx, WRITER, runs[0].facts.id))
    with database.read() as snapshot:
        assert service.search_runs(snapshot, STRANGER, (ExperimentId("0"),), service.Asked()).runs == ()
        views = {view: service.search_runs(snapshot, WRITER, (ExperimentId("0"),), service.Asked(view=view)) for view in View}
    assert [one.facts.id for one in views[View.DELETED_ONLY].runs] == [runs[0].facts.id]
    assert len(views[View.ALL].runs) == len(views[View.ACTIVE_ONLY].runs) + 1 == COUNT


def test_experiments_are_found_by_name_tag_time_and_id(database: Database) -> None:
    database.write(service.ensure_default)
    news = [service.NewExperiment(name=f"Exp{n}", tags={"t": f"v{n % 2}"}) for n in range(5)]
    made = [database.write(functools.partial(service.create_experiment, principal=WRITER, new=new)) for new in news]

    def names(text: str, *orders: str, limit: int = 100) -> list[str]:
        with database.read() as snapshot:
            page = service.search_experiments(snapshot, WRITER, service.Asked(filter=text, order_by=orders, limit=limit))
            rest = (
                service.search_experiments(snapshot, WRITER, service.Asked(filter=text, order_by=orders, page=page.next))
                if page.next
                else page
            )
            return [one.name for one in (*page.experiments, *(rest.experiments if page.next else ()))]

    assert names("name LIKE 'Exp%' AND tags.t = 'v1'", "name DESC") == ["Exp3", "Exp1"]
    assert names("name ILIKE 'exp%'", "name", limit=2) == [f"Exp{n}" for n in range(5)]
    assert names(f"experiment_id IN ('{made[2].id}', '0{made[3].id}')", "name") == ["Exp2", "Exp3"]
    assert names("tags.t IS NULL") == ["Default"]
    assert names("creation_time > 0 AND last_update_time >= 0 AND name != 'Default'", "experiment_id ASC") == [
        one.name for one in sorted(made, key=lambda one: int(one.id))
    ]
    with pytest.raises(FilterInvalid, match="Invalid comparator for experiment_id: LIKE"):
        names("experiment_id LIKE '1'")
