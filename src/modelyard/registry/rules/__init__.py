"""Decisions of the registry as pure functions: references, paths of artifacts, lineage, how two versions differ."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

import msgspec

from modelyard.core.errors import InvalidInput
from modelyard.registry.domain import (
    AliasName,
    BadArtifact,
    Comparison,
    Difference,
    File,
    Format,
    Lineage,
    LineageKind,
    LineageStep,
    Manifest,
    MetricDifference,
    ModelName,
    ModelVersion,
    Signature,
)
from modelyard.registry.rules.names import checked_model_name, checked_new_alias

LONGEST_PATH = 500
LONGEST_PART = 200
MOST_FILES = 10_000
_REFERENCE = re.compile(r"(?:models:/)?([^/]*?[^/@])(?:@([^/@]+)|/([0-9]{1,9}))?")


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """What a reference names: a model, and an alias or a version of it, or neither, which is the latest."""

    model: ModelName
    alias: AliasName | None = None
    version: int | None = None


def parsed_reference(text: str) -> Reference:
    """The parts of `models:/name@alias`, `models:/name/3` or `models:/name`; the scheme may be left out. Raises InvalidInput.

    >>> parsed_reference("models:/late_arrival@champion").alias
    'champion'
    >>> parsed_reference("late_arrival/3").version
    3
    """
    match = _REFERENCE.fullmatch(text)
    if match is None:
        raise InvalidInput(f"{text[:120]!r} names no model", hint="write models:/NAME@ALIAS or models:/NAME/VERSION")
    model, alias, version = match.groups()
    return Reference(
        model=checked_model_name(model),
        alias=None if alias is None else checked_new_alias(alias),
        version=None if version is None else int(version),
    )


def checked_path(text: str) -> str:
    """`text` where it is the path of a file below a folder: relative, plain, and the same on every system. Raises BadArtifact.

    >>> checked_path("model/weights.bin")
    'model/weights.bin'
    """
    parts = text.split("/")
    is_plain = all(part not in ("", ".", "..") and len(part.encode(errors="replace")) <= LONGEST_PART for part in parts)
    has_odd = "\\" in text or ":" in text or any(unicodedata.category(c) in ("Cc", "Cs", "Cf") for c in text)
    if not is_plain or has_odd or len(text) > LONGEST_PATH or PurePosixPath(text).is_absolute():
        raise BadArtifact(f"{text[:120]!r} is no path of an artifact's file", hint="name files relative to the folder, by plain characters")
    return text


def checked_manifest(files: Iterable[File]) -> Manifest:
    """The manifest of `files`, sorted by path.

    Raises BadArtifact where two would be one file on some system, or one lies inside another.
    """
    ordered = tuple(sorted(files, key=lambda file: file.path))
    if not 1 <= len(ordered) <= MOST_FILES:
        raise BadArtifact(f"an artifact of {len(ordered)} files", hint=f"an artifact has 1 to {MOST_FILES} files")
    taken = {unicodedata.normalize("NFKC", checked_path(file.path)).casefold() for file in ordered}
    folders = {path.rpartition("/")[0] for path in taken}
    folders |= {str(parent) for path in taken for parent in PurePosixPath(path).parents}
    if len(taken) != len(ordered) or taken & folders:
        raise BadArtifact("two files of the artifact would be one on some systems", hint="give them names that differ in more than case")
    return Manifest(files=ordered)


_WHY_NOT_SERVED = {
    Format.MLFLOW: (
        "A folder of MLflow's can hold pickles, which run whatever they were made to run when they are loaded. Its files are kept and "
        "handed out; nothing here loads them, and no endpoint takes this version. Save it as LightGBM text, ONNX or skops to serve it."
    ),
    Format.ELSEWHERE: "Its files lie elsewhere. What is not kept here cannot be checked, and no endpoint takes this version.",
}


def why_not_served(kind: Format) -> str:
    """Why versions of a format are never served; empty for those that are."""
    return _WHY_NOT_SERVED.get(kind, "")


def lineage_of(version: ModelVersion) -> Lineage:
    """All that a version came from, as it was recorded; what was not recorded stands with an empty id."""
    ids: dict[LineageKind, str | None] = {
        LineageKind.RUN: version.run,
        LineageKind.SNAPSHOT: version.snapshot,
        LineageKind.FEATURE_SET: version.feature_set,
        LineageKind.SOURCE: version.source,
        LineageKind.ENVIRONMENT: version.environment,
        LineageKind.ARTIFACT: version.artifact,
    }
    steps = tuple(LineageStep(kind=kind, id=found or "") for kind, found in ids.items())
    return Lineage(model=version.model, version=version.number, steps=steps)


def compared(left: ModelVersion, right: ModelVersion) -> Comparison:
    """Two versions of a model side by side: what differs, and every metric of either."""
    before, after = _facts(left), _facts(right)
    names = list(dict.fromkeys([*before, *after]))
    differences = [
        Difference(what=name, left=before.get(name), right=after.get(name)) for name in names if before.get(name) != after.get(name)
    ]
    metrics = [
        MetricDifference(metric=name, left=left.metrics.get(name), right=right.metrics.get(name))
        for name in sorted({*left.metrics, *right.metrics})
    ]
    return Comparison(
        model=left.model,
        left=left.number,
        right=right.number,
        same_content=left.content is not None and left.content == right.content,
        differences=tuple(differences),
        metrics=tuple(metrics),
    )


def _facts(version: ModelVersion) -> dict[str, str]:
    facts: dict[str, object] = {
        "format": version.format.value,
        "artifact": version.artifact,
        "content": version.content,
        **{step.kind.value: step.id or None for step in lineage_of(version).steps if step.kind is not LineageKind.ARTIFACT},
        "author": version.author,
        **_columns(version.signature),
        **{f"parameter {name}": value for name, value in version.parameters.items()},
    }
    return {name: str(value) for name, value in facts.items() if value is not None}


def _columns(signature: Signature | None) -> Mapping[str, str]:
    if signature is None:
        return {}
    columns = {
        f"input {column.name}": column.dtype if column.categories is None else f"{column.dtype} of {len(column.categories)} categories"
        for column in signature.inputs
    }
    changed = {f"categories {column.name}": ", ".join(column.categories) for column in signature.inputs if column.categories is not None}
    return {**columns, **changed, "output": f"{signature.output.name}: {signature.output.kind}"}
