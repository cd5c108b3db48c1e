"""What serving takes from the components below it: versions from the registry, their features, tokens from access."""

from msgspec.structs import replace

from modelyard.access.domain import Principal, Role, Scope, TeamId
from modelyard.access.service import list_lent
from modelyard.features import service as features
from modelyard.features.domain import FeatureSet
from modelyard.registry import service as registry
from modelyard.registry.domain import SERVED_FORMATS, ModelName, ModelVersion, VersionIsRetired, VersionState
from modelyard.serving import store
from modelyard.serving.domain import Deployment, GatewayToken, ServedVersion, VersionNotServable
from modelyard.storage.database import Snapshot, Transaction


def team_of(snapshot: Snapshot, principal: Principal, model: ModelName) -> TeamId:
    """Whose model it is. Raises NoSuchModel."""
    return registry.get_model(snapshot, principal, model).model.team_id


def served_version(tx: Transaction, principal: Principal, owned: tuple[ModelName, TeamId], number: int) -> ServedVersion:
    """What gateways need of a version. Raises NoSuchVersion, VersionIsRetired and VersionNotServable."""
    model, team = owned
    detail = registry.show_version(tx, principal, model, number)
    if detail.state is VersionState.RETIRED:
        raise VersionIsRetired(f"version {number} of {model} was retired", hint="propose another version")
    known = store.find_version(tx, model, number)
    if known is not None:
        return known
    version = detail.version
    if version.signature is None or version.format not in SERVED_FORMATS:
        raise VersionNotServable(
            f"version {number} of {model} is a {version.format} artifact {'without' if version.signature is None else 'with'} a signature",
            hint=f"serve a version with a signature in one of {', '.join(SERVED_FORMATS)}",
        )
    served = ServedVersion(
        number=number,
        format=version.format,
        artifact=version.artifact,
        signature=version.signature,
        feature_set=_feature_set(tx, version),
    )
    store.put_version(tx, model, team, served)
    return served


def find_served(snapshot: Snapshot, model: ModelName, number: int) -> ServedVersion | None:
    """What gateways were given of a version; None where it was never proposed."""
    return store.find_version(snapshot, model, number)


def _feature_set(snapshot: Snapshot, version: ModelVersion) -> FeatureSet | None:
    """The set that the version reads, also where another one stands under its name by now: one rolled back to reads its own."""
    if version.feature_set is None:
        return None
    found = features.find_applied_set(snapshot, version.feature_set)
    if found is None:
        raise VersionNotServable(
            f"the feature set of version {version.number} of {version.model} was never applied here",
            hint="apply the project at the source that the version was trained from: yard apply",
        )
    return found


def with_teams(snapshot: Snapshot, deployment: Deployment) -> Deployment:
    """`deployment` with the teams whose views each of its versions reads."""
    versions = tuple(replace(one, feature_teams=features.teams_of(snapshot, one.feature_set)) for one in deployment.versions)
    return replace(deployment, versions=versions)


def gateway_tokens(snapshot: Snapshot) -> tuple[GatewayToken, ...]:
    """The tokens that gateways accept, each for the teams in which its owner may see models."""
    return tuple(
        GatewayToken(
            id=lent.id,
            digest=lent.secret_hash,
            principal=lent.principal,
            expires_at=lent.expires_at,
            teams=tuple(sorted(team for team, role in lent.roles.items() if role is not Role.AUDITOR)),
        )
        for lent in list_lent(snapshot, Scope.SERVING)
    )
