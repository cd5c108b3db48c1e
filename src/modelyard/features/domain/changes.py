"""What applying a view would change, as it is told before. Owns the types; no rule."""

from typing import Literal

import msgspec

from modelyard.features.domain.answers import ViewReader


class FeatureChange(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of one feature; `what` are the parts of its definition that change, each as it is and as it would be."""

    feature: str
    kind: Literal["add", "change", "remove"]
    what: tuple[str, ...] = ()


class ViewPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What applying a view would change: from version `before` (None: a new view) to version `number`, feature by feature.

    `readers` are versions of served models that read the view in other versions than `number`; `sets` are feature sets that stand
    and do. Both go on as they are. `rows` have been brought online of the version before: about as many as `number` begins with;
    0 where `number` was brought online earlier and goes on from there, None where nothing was.
    """

    view: str
    before: int | None
    number: int
    changes: tuple[FeatureChange, ...]
    readers: tuple[ViewReader, ...] = ()
    sets: tuple[str, ...] = ()
    rows: int | None = None
