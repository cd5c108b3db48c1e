"""The grammar of filters and orders: what it means, what it refuses, and that MLflow's own parser reads it the same way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.tracking.domain import FilterInvalid
from modelyard.tracking.grammar import EXPERIMENTS, MODELS, RUNS, Comparison, parse_filter, parse_order, parse_orders

mlflow_search = pytest.importorskip("mlflow.utils.search_utils")

NAMES = st.from_regex(r"[a-cX-Z][a-cX-Z09_]{0,5}", fullmatch=True)
KEYS = st.one_of(
    NAMES, NAMES.map(lambda name: f"`{name} x`"), NAMES.map(lambda name: f'"{name}/y"'), NAMES.map(lambda name: f"'{name}:z w'")
)
WORDS = {
    "metrics": ["metrics", "metric"],
    "params": ["params", "param", "parameter", "parameters"],
    "tags": ["tags", "tag"],
    "attribute": ["status", "attr.user_id", "run_name", "run.status", "attributes.`run name`", "`Run Name`", "attribute.artifact_uri"],
    "time": ["attributes.start_time", "end_time", "created", "attr.Created", "run.end_time"],
    "dataset": ["dataset.name", "datasets.digest", "dataset.context", "dataset.`name`"],
}
TEXTS = st.text("abc'%_ .\"", max_size=6).map(lambda text: f"'{text.replace(chr(39), '')}'")
NUMBERS = st.one_of(st.integers(-99, 99).map(str), st.sampled_from([".5", "5.", "-1.5e-3", "2e3", "0.25"]))


@st.composite
def comparisons(draw: st.DrawFn) -> str:
    """One comparison that the grammar knows, as text."""
    kind = draw(st.sampled_from(["metrics", "params", "tags", "time", "attribute", "ids", "dataset"]))
    space = draw(st.sampled_from([" ", "  "]))
    word = draw(st.sampled_from(WORDS.get(kind, ["run_id"])))
    texts = st.lists(TEXTS.filter(lambda text: '"' not in text), min_size=1, max_size=3).map(", ".join)
    if kind == "metrics":
        return f"{word}.{draw(KEYS)}{space}{draw(st.sampled_from(['=', '!=', '<', '<=', '>', '>=']))}{space}{draw(NUMBERS)}"
    if kind == "time":
        return f"{word}{space}{draw(st.sampled_from(['=', '<', '>=']))}{space}{draw(NUMBERS)}"
    if kind == "ids" or (kind == "dataset" and draw(st.booleans())):
        return f"{word} {draw(st.sampled_from(['IN', 'not in']))} ({draw(texts)})"
    if kind in ("attribute", "dataset"):
        return f"{word} {draw(st.sampled_from(['=', '!=', 'LIKE', 'ilike']))} {draw(TEXTS)}"
    if draw(st.booleans()):
        return f"{word}.{draw(KEYS)} {draw(st.sampled_from(['IS NULL', 'is not null']))}"
    return f"{word}.{draw(KEYS)}{space}{draw(st.sampled_from(['=', '!=', 'LIKE', 'ILIKE']))}{space}{draw(TEXTS)}"


@given(st.lists(comparisons(), min_size=1, max_size=4), st.sampled_from([" AND ", " and ", "  And ", " AND AND "]), st.booleans())
def test_a_filter_means_what_mlflow_reads_in_it(clauses: list[str], joined: str, has_loose_ends: bool) -> None:
    text = joined.join(clauses)
    if has_loose_ends:
        text = f"AND {text} and"
    theirs = [
        (one["type"], mlflow_search.SearchUtils.translate_key_alias(one["key"]), one["comparator"].upper(), one["value"])
        for one in mlflow_search.SearchUtils.parse_search_filter(text)
    ]
    ours = [(one.entity, one.key, one.operator, one.value) for one in parse_filter(text, RUNS)]
    for (*their_words, their_value), (*our_words, our_value) in zip(theirs, ours, strict=True):
        assert our_words == their_words
        assert our_value == (float(their_value) if our_words[0] == "metric" else their_value)


@pytest.mark.parametrize(
    "text",
    [
        "metrics.a OR 1",
        "metrics.a > 1 OR params.b = 'x'",
        "(metrics.a > 1)",
        "metrics.a > +5",
        "metrics.a >",
        "> 5",
        "params.a = x",
        "params.a = 5",
        "metrics.a = 'x'",
        "metrics.a > metrics.b",
        "params.a > 'x'",
        "params.a == 'x'",
        "params.a <> 'x'",
        "metrics.a LIKE 'x'",
        "start_time = 'x'",
        "foo = 'x'",
        "m.acc >= 0.94",
        "attri.x != 1",
        "`metrics.A > 0.1",
        "param`.A > 0.1",
        "metrics.a > 1; metrics.b > 2",
        "run_id IN ()",
        "run_id IN (5)",
        "run_id IN 'a'",
        "status IN ('RUNNING')",
        "dataset.foo = 'x'",
        "metrics.a IS NULL",
        "   ",
        "metrics.a-b > 1",
    ],
)
def test_what_mlflow_refuses_is_refused(text: str) -> None:
    with pytest.raises(FilterInvalid):
        parse_filter(text, RUNS)


@pytest.mark.parametrize(
    "text",
    ["metrics.a > 1 AND metrics.b", "metrics.a AND metrics.b > 1", "AND > 1", "metrics.a > 1;", "run_id IN ('a' 'b')", "run_id IN ('a'"],
)
def test_half_a_comparison_is_refused(text: str) -> None:
    with pytest.raises(FilterInvalid):
        parse_filter(text, RUNS)


def test_an_and_may_be_missing_as_in_mlflow() -> None:
    text = "metrics.a > 1 metrics.b > 2"
    assert [one.key for one in parse_filter(text, RUNS)] == ["a", "b"]
    assert [one["key"] for one in mlflow_search.SearchUtils.parse_search_filter(text)] == ["a", "b"]


def test_a_refusal_says_what_was_expected() -> None:
    with pytest.raises(FilterInvalid, match=r"Expected a quoted string value for parameter \(e.g. 'my-value'\). Got value 5"):
        parse_filter("params.a = 5", RUNS)
    with pytest.raises(FilterInvalid, match=r"Invalid entity type 'metrics'\. Valid entity types are"):
        parse_filter("metrics.a = 5", EXPERIMENTS)
    with pytest.raises(FilterInvalid, match="Expected one of"):
        parse_filter("foo.a = 5", MODELS)


def test_a_quoted_key_may_hold_anything_but_its_quote() -> None:
    assert parse_filter("metrics.`a.b/c d:e` > 1", RUNS) == (Comparison(entity="metric", key="a.b/c d:e", operator=">", value=1.0),)
    assert parse_filter("tags.\"mlflow.parentRunId\" = 'x'", RUNS)[0].key == "mlflow.parentRunId"


def test_a_filter_has_an_end() -> None:
    with pytest.raises(FilterInvalid, match="more than 100 comparisons"):
        parse_filter(" AND ".join(["metrics.a > 1"] * 101), RUNS)
    with pytest.raises(FilterInvalid, match="characters"):
        parse_filter("x" * 100_001, RUNS)


@pytest.mark.parametrize(
    "text", ["metrics.a DESC", "metrics.`a b` asc", "params.x", "tag.a", "start_time desc", "Created ASC", 'metrics."x y" DESC', "run_id"]
)
def test_an_order_means_what_mlflow_reads_in_it(text: str) -> None:
    entity, key, is_ascending = mlflow_search.SearchUtils.parse_order_by_for_search_runs(text)
    order = parse_order(text, RUNS)
    assert (order.entity, order.key, order.is_ascending) == (entity, mlflow_search.SearchUtils.translate_key_alias(key), is_ascending)


@pytest.mark.parametrize("text", ["metrics.a foo", "metrics.a, b", "experiment_id", "foo", "", "metrics.a DESC DESC", "'x'"])
def test_an_unknown_order_is_refused(text: str) -> None:
    with pytest.raises(FilterInvalid):
        parse_order(text, RUNS)


def test_a_key_orders_once() -> None:
    with pytest.raises(FilterInvalid, match="duplicate"):
        parse_orders(("metrics.a", "metrics.a DESC"), RUNS)
    assert len(parse_orders(("name", "name DESC"), EXPERIMENTS)) == 2, "MLflow takes it for experiments"
