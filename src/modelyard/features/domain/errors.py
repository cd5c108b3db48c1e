"""What can go wrong with features. Owns the errors' kinds; their words stand where they are raised."""

from modelyard.core.errors import Kind, ModelyardError


class InvalidDeclaration(ModelyardError):
    """A declaration that contradicts itself or breaks a rule."""

    kind = Kind.INVALID


class NotColumnwise(ModelyardError):
    """An on-demand function that gives one row something else than it gives the same row among many."""

    kind = Kind.INVALID


class UnknownFeature(ModelyardError):
    """A view or a source has no column of that name."""

    kind = Kind.INVALID


class SourceUnreadable(ModelyardError):
    """A source's files are missing or are not what they should be."""

    kind = Kind.INVALID


class SourceDrifted(ModelyardError):
    """A source's columns or types are no longer those that the view was declared over."""

    kind = Kind.CONFLICT


class SourceMoved(ModelyardError):
    """The same definition over other rows, while a served model reads that version."""

    kind = Kind.CONFLICT


class BadLabels(ModelyardError):
    """Label rows without the keys or the instants that the join needs."""

    kind = Kind.INVALID


class ViewNotFound(ModelyardError):
    """No feature view of that name."""

    kind = Kind.MISSING


class OnDemandNotFound(ModelyardError):
    """No on-demand feature of that name, or none of that version that was applied."""

    kind = Kind.MISSING


class EntityNotFound(ModelyardError):
    """No feature view is about an entity of that name."""

    kind = Kind.MISSING


class FeatureSetNotFound(ModelyardError):
    """No feature set of that name or digest."""

    kind = Kind.MISSING


class PushedSourceNotFound(ModelyardError):
    """No feature view reads pushed events under that name."""

    kind = Kind.MISSING


class BadEvents(ModelyardError):
    """Events that their source cannot take; none of them was taken."""

    kind = Kind.INVALID


class TooManyEvents(ModelyardError):
    """More events, or more bytes, than one push may have."""

    kind = Kind.TOO_LARGE
