"""What may not be applied under a served model: the same definition over other rows. Reads sources, changes nothing."""

from collections.abc import Iterable
from pathlib import Path

from modelyard.core.names import listed
from modelyard.features import store
from modelyard.features.domain import FeatureView, Push, SourceMoved, SourceUnreadable, Sql, is_address
from modelyard.features.history import load_history
from modelyard.features.materialization import share_past
from modelyard.storage.database import Database


def check_sources_stay(database: Database, views: Iterable[FeatureView], root: Path) -> None:
    """Raises SourceMoved where a version that something served reads would go on from rows that are not those it has read so far.

    A definition is the same version whatever folder its project lies in. So where that folder is another one, what the source
    names there must hold the past of what it named before; what can be read nowhere any more is compared with nothing.
    """
    with database.read() as snapshot:
        readers = store.list_readers(snapshot)
        read = {view: [one.reader for one in readers if (one.view, one.digest) == (view.name, view.digest)] for view in views}
        known = {view: store.find_view(snapshot, view.name, view.digest) for view, named in read.items() if named}
        now = snapshot.now()
    for view, applied in known.items():
        if applied is None or _place(view, Path(applied.root)) == _place(view, root):
            continue
        try:
            before = load_history(view, Path(applied.root))
        except SourceUnreadable:
            continue
        if not share_past(before, load_history(view, root), now):
            raise SourceMoved(
                f"{view.source.place} of {root} does not hold the rows that {listed(read[view])} reads of view {view.name}, "
                f"which come from {applied.root}",
                hint="name the source by a path of its own, which makes a version of its own of the view, or apply it from where it was",
            )


def _place(view: FeatureView, root: Path) -> str:
    """Where the source's rows come from, for a project in `root`."""
    source = view.source
    return source.place if isinstance(source, Sql | Push) or is_address(source.path) else str(root / source.path)
