"""`yard features erase`: the values of an entity erased online and out of every later reading, with a reason that is recorded."""

from typing import Annotated

from cyclopts import Parameter

from modelyard.cli.connection import connected
from modelyard.cli.features import entity_of
from modelyard.cli.output import Json, console, plain, print_json
from modelyard.core.errors import InvalidInput
from modelyard.core.names import nearest
from modelyard.features.domain import Entity, NewErasure
from modelyard.sdk.client import Client


def erase(
    entity: Annotated[str, Parameter(name="ENTITY")],
    /,
    *keys: str,
    why: Annotated[str, Parameter(help="The reason, which is recorded: leave out whom it is about.")],
    json: Json = False,
) -> int:
    """Erases all values of an entity, online and out of the sources as they are read from now on; its rows in your own files stay.

    Each KEY is one of whom all is erased: its key alone where the entity has one, else `name=value` for each, joined by commas.

    Example: yard features erase customer 4711 --why "request 2026-17"
    """
    with connected() as client:
        found = _entity(client, entity)
        if not keys:
            raise InvalidInput(f"no {entity} is named", hint=f'yard features erase {entity} KEY --why "..."')
        rows = [entity_of(found.keys, f"entity {entity}", key) for key in keys]
        done = [client.erase_features(NewErasure(entity=entity, keys=row, why=why)) for row in rows]
    if json:
        print_json(done)
    else:
        for key, one in zip(keys, done, strict=True):
            console().print(f"{plain(key)}: erased in {plain(', '.join(one.views))}, recorded as {one.id}")
            for version in one.unreached:
                console().print(f"  not reached: {plain(f'{version.view}/{version.number}: {version.why}')}")
    return 0


def _entity(client: Client, name: str) -> Entity:
    """The entity of that name, as the views that are about it know it. Raises InvalidInput with the nearest name."""
    known = {one.applied.view.entity.name: one.applied.view.entity for one in client.list_feature_views()}
    if name not in known:
        raise InvalidInput(f"no view is about an entity {name[:80]!r}", hint=nearest(name, known))
    return known[name]
