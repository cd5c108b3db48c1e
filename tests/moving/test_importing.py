"""`yard import mlflow` against an MLflow that really was used: what comes, that it comes once, and that it goes on."""

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import sqlalchemy as sa

from modelyard.core.digests import digest_bytes
from modelyard.moving.domain import ImportReport, Tally
from modelyard.registry.domain import ModelName
from modelyard.sdk.client import Client
from modelyard.tracking.domain import Lifecycle, RunId, View
from modelyard.tracking.imports import IMPORTED_FROM_TAG, RunContent
from modelyard.tracking.rules.series import unpacked
from tests.moving.conftest import BIN, EXPERIMENT, ODD_NAME, Bring, Home, TheirWorld, their_server

# MLflow warns about its own next releases, and leaves its database to the collector.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.xdist_group("moving")]
LATE = ModelName("late")
UNREAD = ("secrets", "webhook", "scorer", "trace", "span", "endpoint", "model_def")


@pytest.fixture
def theirs(their_template: TheirWorld, tmp_path: Path) -> TheirWorld:
    """An MLflow of the test's own, read only through its files."""
    folder = tmp_path / "theirs"
    shutil.copytree(their_template.folder, folder)
    return msgspec.structs.replace(their_template, folder=folder, url=f"sqlite:///{folder}/mlflow.db")


@pytest.fixture(params=["database", "server"])
def address(request: pytest.FixtureRequest, theirs: TheirWorld) -> Iterator[str]:
    """The address of an MLflow, as a database and as a server."""
    if request.param == "database":
        yield theirs.url
    else:
        with their_server(theirs) as url:
            yield url


def content(client: Client, run_id: str) -> RunContent:
    (found,) = client.read_run_contents(run_ids=(RunId(run_id),))
    return found


def file_of(client: Client, uri: str, path: str) -> bytes:
    with client.open_artifact(uri, path) as chunks:
        return b"".join(chunks)


def nothing_new(report: ImportReport) -> bool:
    return not report.mismatches and all(not tally.brought for tally in report.tallies.values())


def test_everything_comes_with_its_ids_times_and_numbers(address: str, theirs: TheirWorld, home: Home, bring: Bring) -> None:
    report = bring(address)
    assert report.mismatches == ()
    assert report.tallies["runs"] == Tally(there=3, brought=3)
    assert report.tallies["points"] == Tally(there=306, brought=306)
    assert (report.tallies["artifacts"].brought, report.tallies["versions"].brought, report.tallies["aliases"].brought) == (4, 3, 1)
    with home.client() as client:
        held = content(client, theirs.outer)
        facts, series = held.run.facts, {one.key: unpacked([one.points]) for one in client.read_points(RunId(theirs.outer))}
        assert (facts.name, facts.user, facts.started_at, facts.ended_at) == (
            "äußerer",
            "ann",
            1_700_000_000_000_000,
            1_700_000_009_999_000,
        )
        assert held.run.params == {"rate": "0.1", "lang": "ü" * 500}
        assert held.run.tags["ö"] == "Wert"
        assert held.run.tags[IMPORTED_FROM_TAG] == report.source
        values = series["auc"].value
        assert np.isnan(values).sum() == 1
        assert sorted(values[~np.isnan(values)]) == [-np.finfo(float).max, 0.5, np.finfo(float).max]
        assert len(series["loss"].step) == 301
        assert {(one.dataset.name, one.tags["mlflow.data.context"]) for one in held.run.datasets} == {("rows", "training")}
        assert [one.model_id for one in held.run.model_outputs] == [theirs.model]
        assert facts.content_digest is not None
        assert file_of(client, facts.artifact_uri, ODD_NAME) == "über".encode()
        assert content(client, theirs.inner).run.facts.lifecycle is Lifecycle.DELETED
        experiments = {one.name: one for one in client.list_experiments(view=View.ALL).experiments}
        assert (experiments[EXPERIMENT].id, experiments[EXPERIMENT].tags["für"]) == (theirs.experiment, "wen")
        assert experiments[BIN].lifecycle is Lifecycle.DELETED
    assert nothing_new(bring(address))
    assert not bring(address, is_full=True).mismatches


def test_models_come_with_gaps_stages_aliases_and_files(theirs: TheirWorld, home: Home, bring: Bring) -> None:
    report = bring(theirs.url)
    with home.client() as client:
        record = client.get_model_record(LATE)
        found = {one.detail.version.number: one for one in record.versions}
        assert sorted(found) == [1, 3, 4]
        assert (record.tags["team"], record.detail.model.purpose) == ("x", "is it läte?")
        assert [(alias.name, alias.version) for alias in record.detail.aliases] == [("champion", 3)]
        first = found[1]
        assert (first.notes.stage, first.tags["a"], first.detail.version.description) == ("Production", "1", "first")
        assert first.detail.version.run == theirs.outer
        files = client.list_version_files(LATE, 1).files
        assert [file.path for file in files] == ["MLmodel", "weights.bin"]
        with client.open_version_file(LATE, 1, "weights.bin") as chunks:
            assert digest_bytes(b"".join(chunks)) == files[1].digest
        assert client.list_version_files(LATE, 3).files[0].path == "MLmodel"
        with pytest.raises(Exception, match="are not kept here"):
            client.list_version_files(LATE, 4)
        (model,) = client.read_model_contents(model_ids=(theirs.model,))  # type: ignore[arg-type]
        assert (model.model.params, model.model.tags["kind"], model.model.metrics[0].value) == ({"depth": "3"}, "tree", 0.9)
    assert report.notes == ("late: versions 4 are records without files, for these lie where nobody read them",)
    made = there(theirs, "SELECT creation_time FROM model_versions WHERE name = 'late' AND version = 1")
    assert found[1].detail.version.created_at == made * 1000


def there(theirs: TheirWorld, query: str) -> Any:
    with sqlite3.connect(theirs.folder / "mlflow.db") as connection:
        (row,) = connection.execute(query).fetchall()
    connection.close()
    return row[0]


def change(theirs: TheirWorld, *statements: str) -> None:
    with sqlite3.connect(theirs.folder / "mlflow.db") as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def test_called_again_it_brings_what_is_new_or_changed_alone(theirs: TheirWorld, home: Home, bring: Bring) -> None:
    bring(theirs.url)
    change(
        theirs,
        f"INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid) VALUES ('loss', 3.5, 1, 2, 0, '{theirs.outer}')",
        f"INSERT INTO tags (key, value, run_uuid) VALUES ('late', 'yes', '{theirs.outer}')",
        "UPDATE registered_model_aliases SET version = 1",
    )
    theirs.put_file("more.txt", b"more")
    report = bring(theirs.url)
    assert report.mismatches == ()
    assert report.tallies["runs"] == Tally(there=3, brought=1, unchanged=2)
    assert (report.tallies["artifacts"].brought, report.tallies["artifacts"].unchanged) == (1, 3)
    assert report.tallies["aliases"] == Tally(there=1, brought=1)
    with home.client() as client:
        held = content(client, theirs.outer)
        assert held.series["loss"].points == 302
        assert {one.key: one.points for one in held.run.metrics}["loss"] == 302
        assert held.run.tags["late"] == "yes"
        assert client.get_model_record(LATE).detail.aliases[0].version == 1


def test_what_was_changed_here_alone_stays(theirs: TheirWorld, home: Home, bring: Bring) -> None:
    bring(theirs.url)
    with home.client() as client:
        client.set_alias(LATE, "champion", version=1)  # type: ignore[arg-type]
        assert nothing_new(bring(theirs.url))
        assert client.get_model_record(LATE).detail.aliases[0].version == 1


class Dying(Client):
    """A client whose process dies at its nth request, the request sent or not."""

    left = 0

    def reached(self, method: str, path: str, **given: Any) -> Any:
        """Sends the request unless the process is dead by then."""
        self.left -= 1
        if self.left == 0:
            super().reached(method, path, **given)
        if self.left <= 0:
            raise KeyboardInterrupt
        return super().reached(method, path, **given)


def test_it_goes_on_wherever_it_was_killed_and_ends_the_same(theirs: TheirWorld, home: Home, bring: Bring) -> None:
    for deaths in range(1, 200):
        dying = Dying(home.url, home.token)
        dying.left = deaths
        try:
            report = bring(theirs.url, client=dying, is_full=deaths % 7 == 0)
        except KeyboardInterrupt:
            continue
        break
    assert deaths > 10
    assert report.mismatches == ()
    with home.client() as client:
        held = content(client, theirs.outer)
        assert {one.key: one.points for one in held.run.metrics} == {"acc": 1, "auc": 4, "loss": 301}
        assert [artifact.path for artifact in held.artifacts] == ["model/MLmodel", "model/weights.bin", ODD_NAME]
        assert [one.detail.version.number for one in client.get_model_record(LATE).versions] == [4, 3, 1]
        assert len(client.list_alias_moves(LATE)) == 1
    assert nothing_new(bring(theirs.url))


@pytest.mark.server
def test_a_database_on_postgresql_is_read_alike(theirs: TheirWorld, postgresql_url: str, home: Home, bring: Bring) -> None:
    tables, here = sa.MetaData(), sa.create_engine(theirs.url)
    there = sa.create_engine(postgresql_url.replace("://", "+psycopg://", 1))
    tables.reflect(here, only=lambda name, _: not name.startswith(UNREAD))
    for table in tables.tables.values():
        # What is copied is rows: their rules, in SQLite's words, stay behind.
        table.indexes.clear()
        table.constraints -= {one for one in table.constraints if not isinstance(one, sa.PrimaryKeyConstraint)}
        for column in table.columns:
            column.server_default = None
            column.type = sa.BigInteger() if isinstance(column.type, sa.Integer) else column.type
            column.foreign_keys.clear()
    tables.create_all(there)
    with here.connect() as one, there.begin() as other:
        for table in tables.tables.values():
            rows = [dict(row) for row in one.execute(sa.select(table)).mappings()]
            if rows:
                other.execute(sa.insert(table), rows)
    report = bring(postgresql_url, artifacts=str(theirs.folder / "mlartifacts"))
    assert report.mismatches == ()
    expected = {"runs": 3, "points": 306, "artifacts": 4, "versions": 3, "logged models": 1}
    assert {kind: report.tallies[kind].brought for kind in expected} == expected
    assert "@" not in report.source
    here.dispose()
    there.dispose()
