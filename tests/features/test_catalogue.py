"""The catalogue: what its search finds, how it is paged, the lines that reuse a view, and all that a view's page shows."""

from collections.abc import Sequence

import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from modelyard.access.domain import DEFAULT_TEAM, SYSTEM, Principal
from modelyard.core.clock import SECOND, Instant
from modelyard.features import service
from modelyard.features.definitions import changes_between, declaration_of, reuse_of
from modelyard.features.domain import (
    Aggregate,
    AppliedView,
    Csv,
    Entity,
    Feature,
    FeatureSet,
    FeatureView,
    Materialization,
    OnDemand,
    Parquet,
    ViewReader,
)
from modelyard.features.drawings import course_row
from modelyard.features.pages import CataloguePage, ViewPage, show_catalogue, show_view
from modelyard.features.sections import FeatureCourse, FeatureDay, Parities, ReadDay, Reads
from modelyard.features.standing import Trouble, troubles_of
from modelyard.storage.database import Database, Snapshot
from modelyard.storage.online import LmdbStore

ORIGIN = Entity("origin", description="An airport")
WIND = FeatureView("weather", ORIGIN, Parquet("w.parquet", "at"), features={"wind": "float64", "gust": "float64"}, owner="ops")
CLICKS = FeatureView(
    "class-clicks", Entity("shop"), Csv("exports/wind-up.csv", "at", columns={"n": "float64"}), windows=["1h"], description="How OFTEN",
    aggregate=[Aggregate("n", ["sum"], dtype="float64")],
)  # fmt: skip

on_one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def applied(database: Database, views: Sequence[FeatureView]) -> None:
    """Applies views whose types are known."""
    for view in views:
        database.write(lambda tx, view=view: service.apply_view(tx, SYSTEM, view, "/data"))  # type: ignore[misc] # bound now


def catalogue(database: Database, q: str = "", state: str = "", after: str = "") -> CataloguePage:
    with database.read() as snapshot:
        return show_catalogue(snapshot, SYSTEM, q, state, after)


def names(page: CataloguePage) -> list[str]:
    return [row.applied.view.name for row in page.rows]


@on_one_database
@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("WIND", ["weather", "class-clicks"]),
        ("gust", ["weather"]),
        ("airport", ["weather"]),
        ("often shop", ["class-clicks"]),
        ("csv", ["class-clicks"]),
        ("ops", ["weather"]),
        ("n_sum_1h", ["class-clicks"]),
        ("gust shop", []),
        ("<script>", []),
    ],
)
def test_views_are_found_by_every_word_of_their_definition(database: Database, q: str, found: list[str]) -> None:
    applied(database, [WIND, CLICKS])
    assert names(catalogue(database, q)) == found


@on_one_database
def test_the_catalogue_is_paged_and_filtered(database: Database) -> None:
    views = [FeatureView(f"v{n:03}", ORIGIN, Parquet("w.parquet", "at"), features={"wind": "float64"}) for n in range(120)]
    promised = FeatureView("zz", ORIGIN, Parquet("w.parquet", "at"), features={"wind": "float64"}, freshness="1h")
    applied(database, [*views, promised])
    first = catalogue(database)
    assert (names(first)[:2], first.pager.said, first.pager.next) == (["zz", "v000"], "1 to 50 of 121 views", "/features?after=v048")
    last = catalogue(database, after="v098")
    assert (names(last)[0], len(last.rows), last.pager.next, last.pager.first) == ("v099", 21, None, "/features?")
    assert names(catalogue(database, state="stale")) == ["zz"]
    assert names(catalogue(database, "v00", "unused"))[-1] == "v009"


def test_reuse_is_a_line_with_its_import_and_a_declaration_that_runs() -> None:
    assert reuse_of(CLICKS, "n_sum_1h").text == 'from models import class_clicks\n\nfeatures=[class_clicks["n_sum_1h"]]'
    found: dict[str, FeatureView] = {}
    exec(declaration_of(CLICKS), found)  # noqa: S102 - our own text, whose other names are not asked for
    made = found["class_clicks"]
    assert (made.name, made.names, made.source, made.entity) == (CLICKS.name, CLICKS.names, CLICKS.source, CLICKS.entity)


def test_versions_differ_in_what_decides_values() -> None:
    other = FeatureView("weather", ORIGIN, Parquet("w2.parquet", "at"), features={"wind": "int64", "rain": "float64"}, ttl="3h")
    found = {one.key: (one.before, one.after) for one in changes_between(WIND, other)}
    assert (found["wind"], found["rain"], found["gust"], found["ttl"]) == (
        ("float64", "int64"),
        (None, "float64"),
        ("float64", None),
        (None, "3h"),
    )
    assert (set(found), changes_between(WIND, WIND)) == ({"wind", "rain", "gust", "ttl", "source"}, ())


def shown(database: Database, online: LmdbStore, reads: Reads) -> ViewPage:
    def of(snapshot: Snapshot, principal: Principal, view: str, most: int) -> Reads:
        return reads

    with database.read() as snapshot:
        return show_view(snapshot, SYSTEM, online, Parities(of=of), "weather")


@on_one_database
def test_a_views_page_draws_where_it_comes_from_and_what_depends_on_it(database: Database, online: LmdbStore) -> None:
    applied(database, [WIND])
    for name in ("late", "early"):
        one = FeatureSet(name, [WIND])
        database.write(lambda tx, one=one: service.apply_set(tx, SYSTEM, one))  # type: ignore[misc] # bound now
    database.write(lambda tx: service.put_consumer(tx, "model", "/models/model", FeatureSet("late", [WIND]), DEFAULT_TEAM))
    page = shown(database, online, Reads(live={"model": (3,)}))
    assert [(one.label, one.note) for one in page.lineage.knots] == [
        ("w.parquet", "Parquet"), ("weather", "v1, 2 features"), ("late", ""), ("early", ""), ("model", "v3 live"),
    ]  # fmt: skip
    assert (len(page.lineage.lines), sorted(page.sets), page.lag) == (4, ["early", "late"], None)


def test_a_course_breaks_where_a_day_has_no_value() -> None:
    middles = [1.0, 2.0, None, 4.0]
    days = (FeatureDay(at=Instant(n), middle=m, low=m, high=m, missing=0.0 if m else 1.0) for n, m in enumerate(middles))
    row = course_row(FeatureCourse(feature="wind", reader="model v1", measure="median", days=tuple(days)))
    assert ([len(line.split()) for line in row.lines], len(row.areas), len(row.bars)) == ([2, 2], 1, 1)
    assert (row.low, row.high, row.last, row.missing, row.bars[0][2]) == (1.0, 4.0, 4.0, 0.25, 8.0)


@on_one_database
def test_the_lag_of_reads_stands_beside_the_promise(database: Database, online: LmdbStore) -> None:
    applied(database, [FeatureView("weather", ORIGIN, Parquet("w.parquet", "at"), features={"wind": "float64"}, freshness="6h")])
    days = tuple(
        ReadDay(at=Instant(n * 86_400 * SECOND), compared=9, different=0, late=1, unverifiable=0, lag_s=3600.0 * n) for n in range(3)
    )
    page = shown(database, online, Reads(days=days))
    assert page.lag is not None
    assert [name for name, _ in page.lag.keys] == ["furthest behind a read", "promised"]


@on_one_database
def test_a_views_page_says_which_version_each_model_reads_why_it_is_stale_and_what_to_do(database: Database, online: LmdbStore) -> None:
    promised = replace(WIND, freshness="3h")
    applied(database, [promised, replace(promised, ttl="9h")])
    served = ViewReader(reader="late v3", view="weather", digest=promised.digest, is_answering=True)
    consumers = FeatureSet("late", [WIND])
    database.write(lambda tx: service.put_readers(tx, "endpoint:late", DEFAULT_TEAM, [served]))
    database.write(lambda tx: service.put_consumer(tx, "late", "/models/late", consumers, DEFAULT_TEAM))
    page = shown(database, online, Reads())
    assert [(one.name, one.href, one.number, one.is_older, one.does) for one in page.readers] == [
        ("late v3", "/models/late", 1, True, "answers")
    ]
    assert (page.freshness.every_s, [row.readers for row in page.versions]) == (1080.0, [0, 1])
    second, first = page.troubles
    assert second.text == "v2: nothing of it was ever brought online. Nothing answers by it."
    assert "It hits late v3." in first.text
    assert "yard features materialize weather" in first.next


def test_of_a_stale_view_the_words_tell_a_still_source_from_a_worker_that_brings_nothing() -> None:
    hour = 3600 * SECOND
    promised = replace(WIND, freshness="3h")
    one = AppliedView(
        view=promised, digest=promised.digest, number=4, team_id=DEFAULT_TEAM, root="/", applied_at=Instant(0), applied_by=SYSTEM.id
    )
    reader = ViewReader(reader="late v3", view="weather", digest=one.digest, is_answering=True)

    def told(upto: int) -> Trouble:
        brought = Materialization(view="weather", digest=one.digest, upto_at=Instant(upto), newest_event_at=Instant(hour), rows=1,
                                  entities=1, source=one.digest, recorded_at=Instant(upto))  # fmt: skip
        (trouble,) = troubles_of(one, [one], {one.digest: brought}, [reader] * 5, Instant(9 * hour))
        return trouble

    assert "w.parquet holds is online, and it has no newer event. It hits late v3, late v3, late v3 and 2 more." in told(9 * hour).text
    assert told(9 * hour).next.startswith("mend what writes w.parquet")
    assert "nothing was brought online for 8 h, though its turn comes every 18 min" in told(hour).text


@on_one_database
def test_on_demand_features_are_found_by_their_words_too(database: Database) -> None:
    felt = OnDemand("felt", (Feature("gust", "float64"),), "float64", "def felt(gust): return np.sqrt(gust)", "How it FEELS")
    proofs = service.proofs_of(FeatureSet("late", [WIND, felt]))
    database.write(lambda tx: service.apply_on_demand(tx, SYSTEM, felt, proofs))
    found = [len(catalogue(database, q).on_demand) for q in ("", "feels gust", "n_sum_1h")]
    assert found == [1, 1, 0]
    assert catalogue(database, state="stale").on_demand == ()


@on_one_database
def test_what_the_catalogue_asks_the_database_does_not_grow_with_its_views(database: Database) -> None:
    def asked() -> int:
        statements: list[str] = []
        with database.read() as snapshot:
            sa.event.listen(snapshot.connection, "before_cursor_execute", lambda _c, _k, statement, *_: statements.append(statement))
            assert show_catalogue(snapshot, SYSTEM, "w.parquet").rows
        return len(statements)

    applied(database, [WIND])
    few = asked()
    applied(database, [replace(WIND, name=f"wind_{n}") for n in range(60)])
    assert 0 < asked() == few
