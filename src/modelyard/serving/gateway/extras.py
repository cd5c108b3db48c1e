"""What a gateway answers besides predictions: features read online, and labels that it takes into its log."""

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec

from modelyard.core.clock import Instant
from modelyard.core.names import nearest
from modelyard.features.domain import FeatureSetNotFound
from modelyard.registry.domain import DType
from modelyard.serving.domain import BadRows, Cell, NoSuchRevision
from modelyard.serving.gateway.features import ServedSet
from modelyard.serving.gateway.guard import Caller
from modelyard.serving.gateway.handler import Handler
from modelyard.serving.gateway.rows import check_count, checked_cells
from modelyard.serving.gateway.wire import Reply, json_reply
from modelyard.serving.keys import key_text
from modelyard.serving.log.frames import LabelFrame, encoded
from modelyard.serving.log.writer import LogWriter
from modelyard.serving.rules import arm_of

LABEL_HINT = 'send {"labels": [{"id": "...", "value": 1}]}, or entity keys in the place of the id: {"keys": {...}, "value": 1}'


class _Label(msgspec.Struct, forbid_unknown_fields=True):
    value: float | bool
    id: str | None = None
    keys: dict[str, Any] | None = None
    at: int | None = None


class _Labels(msgspec.Struct, forbid_unknown_fields=True):
    labels: list[_Label]


_labels = msgspec.json.Decoder(_Labels)


def find_set(handlers: Iterable[Handler], name: str, caller: Caller) -> ServedSet:
    """The feature set of that name, as a champion reads it, or else a version beside one.

    Raises FeatureSetNotFound, also for one of whose views another team owns some.
    """
    known: list[str] = []
    for handler in handlers:
        for one in (handler.champion, *handler.loaded.values()):
            if one.served_set is not None and all(map(caller.may_use, one.version.feature_teams)):
                if one.served_set.name == name:
                    return one.served_set
                known.append(one.served_set.name)
    raise FeatureSetNotFound(f"no model here reads a feature set {name[:80]!r}", hint=nearest(name, known))


def label_frame(handler: Handler, content: bytes, now: Instant, wall: Instant) -> LabelFrame:
    """The labels of a body as a frame for the log. Raises BadRows that names the label."""
    try:
        labels = _labels.decode(content).labels
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRows(handler.form.refusal(error).message, hint=LABEL_HINT) from error
    check_count(len(labels))
    declared = dict(handler.champion.version.keys)
    return LabelFrame(
        model=handler.revision.model,
        wall=wall,
        ids=[_id(label, place) for place, label in enumerate(labels)],
        keys=[_keys(label, place, declared) for place, label in enumerate(labels)],
        at=[Instant(label.at) if label.at is not None else now for label in labels],
        values=[float(label.value) for label in labels],
    )


def _id(label: _Label, place: int) -> str | None:
    if (label.id is None) == (label.keys is None):
        raise BadRows(f"labels[{place}] names {'nothing' if label.id is None else 'an id and keys'}", hint=LABEL_HINT)
    if label.id is None:
        return None
    text = label.id.lower()
    if len(text) != 36 or [text[n] for n in (8, 13, 18, 23)] != ["-"] * 4 or not set(text) <= set("0123456789abcdef-"):
        raise BadRows(f"labels[{place}].id: {label.id[:40]!r} is no prediction's id", hint="copy the id out of the prediction's answer")
    return text


def _keys(label: _Label, place: int, declared: dict[str, DType]) -> str | None:
    if label.keys is None:
        return None
    if not declared or set(label.keys) != set(declared):
        known = ", ".join(declared) or "none: name predictions by id"
        raise BadRows(f"labels[{place}].keys has {', '.join(label.keys)[:80] or 'nothing'}", hint=f"the model's keys are {known}")
    cells: list[Cell] = [checked_cells([label.keys[name]], dtype, f"keys.{name}")[0] for name, dtype in declared.items()]
    return key_text(cells)


async def log_labels(log: LogWriter, frame: LabelFrame) -> Reply:
    """Takes labels into the log; the answer, once they are durable."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    log.append([(None, encoded(frame))], future)
    await future
    return json_reply({"model": frame.model, "accepted": len(frame.values)})


def check_answering(handler: Handler, version: int) -> None:
    """Raises NoSuchRevision where the version answers nobody now."""
    traffic = handler.revision.traffic
    if arm_of(traffic, version) is None:
        known = [str(number) for number in traffic.versions]
        raise NoSuchRevision(f"version {version} of {handler.revision.model} answers nobody now", hint=nearest(str(version), known))
