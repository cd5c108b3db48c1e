"""Taking an entity, or a whole version of a view, out of the online store. Owns what is removed and in which order.

A call that was cut short is repeated: what tells where the rest lies goes last.
"""

from collections.abc import Sequence

import msgspec

from modelyard.features.domain import FeatureView
from modelyard.features.layout import ENTITIES_A_PAGE, ENTITY, TILE, key_bytes, mark_key, page_key, prefix, tile_bytes
from modelyard.features.materialization import find_mark, stored_keys
from modelyard.features.records import Record
from modelyard.features.tiles import NUMBERS
from modelyard.storage.online import OnlineStore


def remove_entity(store: OnlineStore, view: FeatureView, keys: Sequence[object]) -> bool:
    """Removes all that the store holds of an entity of the view's version, its key in the list of entities included; whether there was any.

    The mark stays as it was: the next materialization finds that rows are missing and writes the version anew. Where there is none, a
    first one that was cut short may have left rows all the same, which none would write over once the entity is gone.
    """
    mark = find_mark(store, view)
    start, name = prefix(view.digest), key_bytes(view.entity)(keys)
    main = store.get_many([start + ENTITY + name])[0]
    if main is not None and view.is_aggregation:
        store.delete_many([start + TILE + name + tile_bytes(number) for number in Record(main).whole(NUMBERS)])
    store.delete_many([start + ENTITY + name])
    places = [page_key(view.digest, page) for page in range(-(-(mark.entities if mark else 0) // ENTITIES_A_PAGE))]
    listed = [(place, content) for place, content in zip(places, store.get_many(places), strict=True) if content is not None]
    lists = [(place, msgspec.msgpack.decode(content)) for place, content in listed]
    mended = [(place, [one for one in entities if tuple(one) != tuple(keys)]) for place, entities in lists if [*keys] in entities]
    store.put_many([(place, msgspec.msgpack.encode(entities)) for place, entities in mended])
    # Once more, after the lists, which alone tell a materialization where the entity's rows lie: with a removal all is durable.
    store.delete_many([start + ENTITY + name])
    return main is not None or bool(mended)


def remove_version(store: OnlineStore, view: FeatureView) -> bool:
    """Removes all that the store holds of the view's version, its mark last; whether there was any."""
    mark = find_mark(store, view)
    if mark is None:
        return False
    pages = {page_key(view.digest, page) for page in range(-(-mark.entities // ENTITIES_A_PAGE))}
    for keys in ([key for key in stored_keys(store, view, mark) if key not in pages], [*pages, mark_key(view.digest)]):
        for first in range(0, len(keys), store.at_once):
            store.delete_many(keys[first : first + store.at_once])
    return True
