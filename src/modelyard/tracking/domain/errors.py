"""What tracking refuses, and what it does not find."""

from modelyard.core.errors import Conflict, InvalidInput, Kind, ModelyardError, NotFound


class NoSuchExperiment(NotFound):
    """There is no such experiment."""


class NoSuchRun(NotFound):
    """There is no such run."""


class NoSuchModel(NotFound):
    """There is no such logged model."""


class NoSuchTag(NotFound):
    """The run, experiment or model has no such tag."""


class NoSuchView(NotFound):
    """There is no such saved view."""


class NoSuchArtifact(NotFound):
    """There is no such file."""


class NoSuchUpload(NotFound):
    """There is no such upload: it was completed, given up, has expired, or is somebody else's."""


class ExperimentExists(Conflict):
    """An experiment of that name is there, perhaps in the bin."""


class NotActive(InvalidInput):
    """What is in the bin is not written to; restore it first."""


class ExperimentNotActive(ModelyardError):
    """An experiment in the bin is not renamed; restore it first."""

    kind = Kind.CONFLICT


class ParamIsSet(InvalidInput):
    """A param of a run, once logged, keeps its value."""


class PathRefused(InvalidInput):
    """A path that is absolute, leaves its folder, or has characters or a length that no artifact's path has."""


class FilterInvalid(InvalidInput):
    """A filter or an order that the grammar does not know."""


class TokenInvalid(InvalidInput):
    """A page token that is not of this search."""
