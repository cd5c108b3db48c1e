"""Two runs against each other, line by line: their source, file by file, and the packages that changed."""

import msgspec

from modelyard.access.domain import Principal
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Snapshot
from modelyard.tracking import service
from modelyard.tracking.domain import RunFacts, RunId
from modelyard.tracking.pages.looks import address
from modelyard.tracking.rules.differences import LEFT_OUT, FileChange, side_by_side
from modelyard.web.parts import Change, Link

MOST_LINES = 6000
MOST_FILES = 500


class DifferencePage(msgspec.Struct, frozen=True, kw_only=True):
    """The context of `tracking/difference.html`: what it takes to come from `base` to `other`.

    `missing` says why the sources cannot be compared, `no_packages` whether a list of packages is missing.
    """

    base: RunFacts
    other: RunFacts
    swapped: str
    files: tuple[FileChange, ...]
    unchanged: int
    missing: str
    cut: int
    packages: tuple[Change, ...]
    package_count: int
    no_packages: bool
    crumbs: tuple[Link, ...]


def show_difference(snapshot: Snapshot, principal: Principal, blobs: Blobs, base: RunId, other: RunId) -> DifferencePage:
    """How the source and the packages of one run differ from those of another."""
    left, right = (service.get_runs(snapshot, principal, [one])[0] for one in (base, other))
    changes = service.source_changes(snapshot, blobs, left, right)
    packages = service.list_packages(snapshot, blobs, (left, right))
    known = [one for one in packages if one is not None]
    rows = side_by_side(known) if len(known) == 2 else ()
    shown, lines = [], 0
    for change in changes.files[:MOST_FILES]:
        lines += len(change.lines)
        shown.append(change if lines <= MOST_LINES else msgspec.structs.replace(change, lines=(), note=LEFT_OUT))
    return DifferencePage(
        base=left.facts,
        other=right.facts,
        swapped=address("/runs/diff", base=other, other=base),
        files=tuple(shown),
        unchanged=changes.unchanged,
        missing=changes.missing,
        cut=sum(one.note == LEFT_OUT for one in shown) + max(len(changes.files) - MOST_FILES, 0),
        packages=tuple(Change(row.key, row.values[0], row.values[1]) for row in rows if not row.is_same),
        package_count=len(rows),
        no_packages=len(known) < 2,
        crumbs=(Link("Experiments", "/experiments"), Link("Comparison", address("/runs/compare", f"run={base}&run={other}"))),
    )
