"""What others are told of what is served: the registry by its alias, the features by name and as what is read. Owns that telling."""

from modelyard.access.domain import Principal, TeamId
from modelyard.features.domain import ViewReader
from modelyard.features.service import find_applied_set, put_consumer, put_readers, remove_consumer
from modelyard.registry.domain import CHAMPION, ModelName
from modelyard.registry.service import get_version, set_alias
from modelyard.serving import rules, store
from modelyard.serving.domain import Traffic
from modelyard.serving.store.endpoints import EndpointRow
from modelyard.storage.database import Transaction


def make_champion(tx: Transaction, principal: Principal, owned: tuple[ModelName, TeamId], version: int) -> None:
    """Points the alias to the version that answers now, and has the views that it reads name the model, and no others."""
    model, team = owned
    set_alias(tx, principal, model, CHAMPION, version)
    digest = get_version(tx, model, version).feature_set
    found = None if digest is None else find_applied_set(tx, digest)
    if found is None:
        remove_consumer(tx, model, team)
    else:
        put_consumer(tx, model, f"/models/{model}", found, team)


def keep_read(tx: Transaction, row: EndpointRow, traffics: tuple[Traffic | None, Traffic | None], before: int | None) -> None:
    """Has the features keep online, as they were, the views that the endpoint's versions read.

    `traffics` is what is live and what is coming, `before` the champion that a rollback leads to.
    """
    answering = set() if traffics[0] is None else rules.answering(traffics[0])
    named = {version for traffic in traffics if traffic is not None for version in traffic.versions}
    readers = []
    for number in sorted(named | ({before} if before is not None else set())):
        served = store.find_version(tx, row.model, number)
        views = () if served is None or served.feature_set is None else served.feature_set.views
        reader, is_answering = f"{row.model} v{number}", number in answering
        readers += [ViewReader(reader=reader, view=view.name, digest=view.digest, is_answering=is_answering) for view in views]
    put_readers(tx, f"endpoint:{row.model}", row.team_id, readers)


def drop_champion(tx: Transaction, model: ModelName, team: TeamId) -> None:
    """The model reads no view any more. Its alias stays: it says which version answered last."""
    remove_consumer(tx, model, team)
