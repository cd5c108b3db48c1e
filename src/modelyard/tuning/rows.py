"""The rows of a study: read once as a delivery reads its snapshot, and split so that nothing of a delivery's evaluation is ever seen.

The later rows that a delivery would be evaluated and gated on are held back. Of the earlier ones, each trial learns from the first
part and is measured on the rest, cut by time as well.
"""

from pathlib import Path

import msgspec
import polars as pl

from modelyard.delivery.declaration import DeclaredModel, ModelDeclaration
from modelyard.delivery.domain import ModelNotDeclared
from modelyard.delivery.service import find_declared
from modelyard.delivery.stages.data import data_checks, learnable
from modelyard.delivery.stages.splitting import split, split_again
from modelyard.delivery.stages.yard import Yard, get_frame, put_frame
from modelyard.storage.database import Snapshot
from modelyard.tuning.domain import Study, StudyRows, UnfitRows


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """The rows to learn from, and the later ones to be measured on. Both lie before those that are held back."""

    learned: pl.DataFrame
    validated: pl.DataFrame


def declared_as(snapshot: Snapshot, study: Study) -> DeclaredModel:
    """What the study's model was declared as when the study began. Raises ModelNotDeclared where the record of it is gone."""
    found = find_declared(snapshot, study.model, study.declaration)
    if found is None:
        raise ModelNotDeclared(
            f"{study.model} has no declaration {study.declaration}", hint=f"yard tune {study.model} --name ANOTHER begins another study"
        )
    return found.declared


def read_rows(yard: Yard, study: Study) -> StudyRows:
    """Reads the rows whose label is known by now, with the features as they were visible, and stores them by digest.

    Raises UnfitRows where nothing sound can be learned from the part that trials see, and SourceUnreadable.
    """
    with yard.database.read() as state:
        declared, now = declared_as(state, study), state.now()
    declaration, root = declared.declaration, Path(declared.root)
    found = learnable(declaration, root, now, yard.histories)
    yard.beat()
    seen, held_back = split(found.frame, declaration)
    failed = [one for one in data_checks(seen, declaration, split_again) if not one["passed"]]
    if failed:
        raise UnfitRows(
            f"of the {found.frame.height:,} rows, {seen.height:,} may be tuned on: {failed[0]['name']}: {failed[0]['got']}, "
            f"expected {failed[0]['expected']}",
            hint="wait for labels, lengthen the history, or lessen the holdout",
        )
    learned, validated = split_again(seen, declaration)
    return StudyRows(
        digest=found.digest,
        file=put_frame(yard.blobs, found.frame),
        as_of=now,
        learned=learned.height,
        validated=validated.height,
        held_back=held_back.height,
    )


def parts_of(yard: Yard, rows: StudyRows, declaration: ModelDeclaration) -> Parts:
    """The rows of a study that trials may see, as they were read. Raises BlobMissing and Corrupted."""
    seen, _ = split(get_frame(yard.blobs, rows.file), declaration)
    learned, validated = split_again(seen, declaration)
    return Parts(learned=learned, validated=validated)
