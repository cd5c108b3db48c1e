"""Which file a tracked run's command reads when it is made again: the recorded one, the one that lies there now, or none."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from modelyard.core.digests import Digest, digest_file
from modelyard.delivery.domain import NO_SWAPS, NotReproducible, SnapshotVerdict, Swaps
from modelyard.delivery.rebuilding.datasets import Laid, Places, RecordedData, laid
from modelyard.delivery.rebuilding.room import Room
from modelyard.storage.rows import digest_frame

DATA = Swaps(data=True)
SOURCE = Swaps(source=Digest("sha256:" + "0" * 64))
THEN, NOW, GIVEN = ("value\n1\n2\n4\n", "value\n1\n2\n5\n", "value\n7\n")


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """A project whose `rows.csv` was changed since a run, and the room of its reproduction with the recorded source."""
    made = Places(root=str(tmp_path / "project"), room=Room(folder=tmp_path / "room", hidden=(tmp_path / "data",)))
    for folder, text in ((Path(made.root), NOW), (made.room.recorded_source, THEN), (made.room.source, THEN)):
        folder.mkdir(parents=True)
        (folder / "rows.csv").write_text(text)
    return made


def taken(places: Places, swaps: Swaps = NO_SWAPS, **changes: Any) -> tuple[Laid, str]:
    """What is said of `rows.csv`, and what the command finds there."""
    facts: dict[str, Any] = {"name": "rows", "digest": digest_frame(pl.read_csv(THEN.encode())), "path": "rows.csv", "rows": 3} | changes
    return laid((RecordedData(**facts),), places, swaps), (places.room.source / facts["path"]).read_text()


def test_the_recorded_file_is_taken_and_it_is_said_that_another_one_lies_there_now(places: Places) -> None:
    found, text = taken(places)
    assert (text, found.differences, found.verdict) == (THEN, [], SnapshotVerdict.CHANGED)
    assert found.said == "1 dataset as recorded; rows.csv holds something else by now, 1 of 3 rows have other values in value"


def test_a_file_that_lies_there_as_it_did_is_nothing_to_tell_of(places: Places) -> None:
    Path(places.root, "rows.csv").write_text(THEN.replace("\n", "\r\n"))
    found, _ = taken(places)
    assert (found.said, found.verdict) == ("1 dataset as recorded", None)


def test_the_file_of_today_is_taken_where_that_is_asked_for(places: Places) -> None:
    found, text = taken(places, DATA)
    assert (text, found.verdict) == (NOW, SnapshotVerdict.CHANGED)
    assert [one.said for one in found.differences] == [
        "rows.csv is no longer what rows was read from, 1 of 3 rows have other values in value"
    ]
    assert Path(places.root, "rows.csv").read_text() == NOW


def test_with_the_code_of_today_the_data_is_still_the_recorded_one(places: Places) -> None:
    (places.room.source / "rows.csv").write_text(GIVEN)
    found, text = taken(places, SOURCE)
    assert (text, found.differences) == (THEN, [])


def test_data_and_code_of_today_come_from_one_folder_where_the_run_s_own_is_not_on_this_machine(places: Places) -> None:
    (places.room.source / "rows.csv").write_text(GIVEN)
    Path(places.root, "rows.csv").unlink()
    found, text = taken(places, Swaps(data=True, source=SOURCE.source))
    assert (text, len(found.differences)) == (GIVEN, 1)
    with pytest.raises(NotReproducible, match=r"the data at rows\.csv is gone"):
        taken(places, DATA)


def test_rows_from_memory_need_not_be_all_of_the_file_that_they_came_from(places: Places) -> None:
    some: dict[str, Any] = {"digest": digest_frame(pl.read_csv(THEN.encode()).head(1)), "rows": 1}
    file = str(digest_file(places.room.recorded_source / "rows.csv"))
    assert taken(places, file=file, **some)[0].differences == []
    assert len(taken(places, DATA, file=file, **some)[0].differences) == 1


def test_the_installations_own_files_are_no_data(places: Places) -> None:
    (installation,) = places.room.hidden
    installation.mkdir()
    (installation / "keys.csv").write_text(THEN)
    with pytest.raises(NotReproducible, match="the installation's own"):
        taken(places, path=str(installation / "keys.csv"))


def test_tables_that_have_other_columns_or_the_same_values_are_told_so(places: Places) -> None:
    for text, said in (("other\n1\n2\n4\n", "other columns or types"), ("value\n1\n2\n", "2 rows instead of 3")):
        Path(places.root, "rows.csv").write_text(text)
        assert taken(places)[0].later == (f"rows.csv holds something else by now, {said}",)


def test_data_that_its_source_left_out_is_linked_to_and_where_it_is_gone_it_says_which(places: Places) -> None:
    (places.room.recorded_source / "rows.csv").unlink()
    (places.room.source / "rows.csv").unlink()
    Path(places.root, "rows.csv").write_text(THEN)
    found, text = taken(places)
    assert (text, found.differences, (places.room.source / "rows.csv").is_symlink()) == (THEN, [], True)
    Path(places.root, "rows.csv").unlink()
    with pytest.raises(NotReproducible, match=r"the data at rows\.csv is gone, and it is not in the recorded source"):
        taken(places)


def test_a_record_that_leads_out_of_its_source_is_refused(places: Places) -> None:
    with pytest.raises(NotReproducible, match="leads out of the source"):
        taken(places, path="../rows.csv")
