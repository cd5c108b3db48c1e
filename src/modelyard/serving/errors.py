"""What can go wrong in serving. Owns the errors' kinds; their words stand where they are raised."""

from modelyard.core.errors import Conflict, InvalidInput, Kind, ModelyardError, NotFound


class BadTraffic(InvalidInput):
    """Shares or versions that make no traffic."""


class NoSuchEndpoint(NotFound):
    """The model is not served, or not to the caller."""


class NoSuchRevision(NotFound):
    """The endpoint has no revision of that number."""


class NoSuchPrediction(NotFound):
    """No prediction of that id is in the log."""


class VersionNotServable(InvalidInput):
    """The version has no signature, or a format without a safe loader."""


class RevisionMoved(Conflict):
    """The live revision is no longer the one that the change was made for."""


class NothingToRollBackTo(Conflict):
    """No earlier revision had another champion."""


class NeverChampion(ModelyardError):
    """A rollback to a version that no gateway ever served as champion: it would go round its gates and its approval."""

    kind = Kind.REFUSED


class BadRows(InvalidInput):
    """Rows of a request that do not fit the model."""


class TooLarge(ModelyardError):
    """More bytes or rows than one request may carry."""

    kind = Kind.TOO_LARGE


class CannotAnswer(ModelyardError):
    """The model gave no usable value and declares no fallback."""

    kind = Kind.INTERNAL


class TokensLapsed(ModelyardError):
    """The gateway has been cut off for so long that it no longer knows which tokens hold."""

    kind = Kind.UNREACHABLE
