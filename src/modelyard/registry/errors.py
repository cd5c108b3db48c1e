"""What can go wrong in the registry. Owns the errors' kinds; their words stand where they are raised."""

from modelyard.core.errors import Conflict, Corrupted, InvalidInput, Kind, ModelyardError, NotFound


class NoSuchModel(NotFound):
    """No model of that name that the caller may see."""


class NoSuchVersion(NotFound):
    """The model has no version of that number."""


class NoSuchAlias(NotFound):
    """The model has no alias of that name."""


class ModelExists(Conflict):
    """The installation has a model of that name."""


class ModelIsBound(ModelyardError):
    """The model is declared, deployed or held; its name stands in records that go on."""

    kind = Kind.REFUSED


class NameWasUsed(ModelyardError):
    """The versions of another model were known by that name; its numbers mean those for good."""

    kind = Kind.REFUSED


class VersionIsLive(Conflict):
    """The version is in use; only a version that nothing uses can be retired."""


class VersionIsRetired(Conflict):
    """The version was retired; it takes no alias and no traffic."""


class BadArtifact(InvalidInput):
    """The artifact's files are not what the format says, or their paths leave its folder."""


class FormatRefused(ModelyardError):
    """The artifact has no format with a safe loader."""

    kind = Kind.REFUSED


class UntrustedType(ModelyardError):
    """The artifact holds a type that is not trusted; nothing of it was run."""

    kind = Kind.REFUSED


class SignatureMismatch(InvalidInput):
    """The rows do not have the columns or types that the model's signature asks for."""


class ParityBroken(ModelyardError):
    """The stored model does not answer as the trained one did."""

    kind = Kind.REFUSED


class RuntimeMissing(ModelyardError):
    """The library that runs the format is not installed here."""

    kind = Kind.REFUSED


class ContentChanged(Corrupted):
    """The artifact's content is not what was registered."""
