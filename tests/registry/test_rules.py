"""References, aliases and the paths of artifacts: what is taken, and what never leaves a folder."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.access.domain import DEFAULT_TEAM, SYSTEM
from modelyard.core.clock import Instant
from modelyard.core.digests import digest_bytes
from modelyard.core.errors import InvalidInput
from modelyard.registry.domain import BadArtifact, Column, File, Format, LineageKind, ModelName, ModelVersion, Signature
from modelyard.registry.rules import checked_manifest, checked_path, compared, lineage_of, parsed_reference
from modelyard.registry.rules.names import checked_new_alias

VERSION = ModelVersion(
    model=ModelName("late"),
    number=1,
    team_id=DEFAULT_TEAM,
    format=Format.LIGHTGBM,
    artifact=digest_bytes(b"a"),
    size_bytes=1,
    content=digest_bytes(b"c"),
    signature=Signature(inputs=(Column(name="origin", dtype="string", categories=("EWR", "JFK")),)),
    run="r1",
    metrics={"auc": 0.7, "only_left": 1.0},
    parameters={"rate": 0.1},
    author=SYSTEM.id,
    created_at=Instant(0),
)


def file(path: str) -> File:
    """A file of an artifact."""
    return File(path=path, digest=digest_bytes(path.encode(errors="replace")), size_bytes=1)


@pytest.mark.parametrize(
    ("text", "alias", "version"),
    [
        ("models:/late@champion", "champion", None),
        ("late/3", None, 3),
        ("models:/late", None, None),
        ("late@x-1", "x-1", None),
        ("l (ü)@3", "3", None),
        ("a@b@c", "c", None),
    ],
)
def test_a_reference_names_a_model_and_perhaps_a_version_of_it(text: str, alias: str | None, version: int | None) -> None:
    found = parsed_reference(text)
    assert (found.alias, found.version) == (alias, version)
    assert found.model == text.removeprefix("models:/").removesuffix(f"@{alias}").removesuffix(f"/{version}")


@pytest.mark.parametrize(
    "text", ["", "models:/", "late@", "late/x", "late/3@champion", "../late", "late@../x", "late@v3", "late/-1", "runs:/r/m", "l\x00"]
)
def test_what_names_no_model_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parsed_reference(text)


@pytest.mark.parametrize("text", ["v3", "V12", "latest", "LATEST", "", "a b", "a.b", "a@b", "a/b", "a\n", "x" * 256])
def test_an_alias_is_never_taken_for_a_version(text: str) -> None:
    with pytest.raises(InvalidInput):
        checked_new_alias(text)


PATHS = [
    "", "/etc/passwd", "../x", "a/../x", "a//b", "./a", "a/.", "a\\b", "..\\x", "C:/x", "file:///x", "a\x00b", "a\nb",
    "a/\u202eb", "x" * 501, "a/" + "y" * 201, "\ud800",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_no_path_of_an_artifact_leaves_its_folder(path: str) -> None:
    with pytest.raises(BadArtifact):
        checked_path(path)
    with pytest.raises(BadArtifact):
        checked_manifest([file(path)])


@pytest.mark.parametrize("paths", [["a", "a"], ["a", "A"], ["a", "a/b"], ["A", "a/b/c"], ["é", "e\u0301"], []])
def test_files_that_would_be_one_on_some_system_are_refused(paths: list[str]) -> None:
    with pytest.raises(BadArtifact):
        checked_manifest(map(file, paths))


@given(st.sets(st.from_regex(r"[a-z]{1,3}(/[a-z]{1,3}\.bin){0,2}", fullmatch=True), min_size=1, max_size=6), st.randoms())
def test_a_manifest_does_not_depend_on_the_order_of_its_files(paths: set[str], random: object) -> None:
    plain = [path for path in sorted(paths) if not any(other.startswith(path + "/") for other in paths)]
    assert checked_manifest(map(file, plain)) == checked_manifest(map(file, reversed(plain)))


def test_lineage_tells_what_was_recorded_and_what_was_not() -> None:
    found = lineage_of(VERSION)
    assert [step.id for step in found.steps if step.kind is LineageKind.RUN] == ["r1"]
    assert LineageKind.SNAPSHOT in found.missing
    assert LineageKind.ARTIFACT not in found.missing


def test_two_versions_are_compared_by_origins_columns_parameters_and_metrics() -> None:
    grown = Signature(inputs=(Column(name="origin", dtype="string", categories=("EWR", "JFK", "LGA")), Column(name="hour", dtype="int64")))
    other = msgspec.structs.replace(
        VERSION, number=2, run="r2", signature=grown, metrics={"auc": 0.8}, parameters={"rate": 0.2, "depth": 3}
    )
    found = compared(VERSION, other)
    differences = {one.what: (one.left, one.right) for one in found.differences}
    assert differences == {
        "run": ("r1", "r2"),
        "input origin": ("string of 2 categories", "string of 3 categories"),
        "categories origin": ("EWR, JFK", "EWR, JFK, LGA"),
        "input hour": (None, "int64"),
        "parameter rate": ("0.1", "0.2"),
        "parameter depth": (None, "3"),
    }
    assert [(one.metric, one.left, one.right) for one in found.metrics] == [("auc", 0.7, 0.8), ("only_left", 1.0, None)]
    assert found.same_content
    assert compared(VERSION, VERSION).differences == ()
