"""The plain JSON answer of `POST /predict/{model}`. Owns its shape."""

import msgspec

from modelyard.serving.gateway.handler import Answer
from modelyard.serving.gateway.wire import Reply


class Prediction(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One row's answer. `version` is there where a canary gave it, `fallback` and `reason` where the declared value stands in."""

    id: str
    value: float
    version: int | None = None
    fallback: bool = False
    reason: str | None = None


class Predictions(msgspec.Struct, frozen=True, gc=False):
    """The answer to a request: the champion's version, the revision that the whole of it was served under, and the rows."""

    model: str
    version: int
    revision: int
    predictions: list[Prediction]


_encoder = msgspec.json.Encoder()


def reply_of(answer: Answer) -> Reply:
    """`answer` as JSON."""
    if answer.versions is None and answer.reasons is None:
        rows = list(map(Prediction, answer.ids, answer.values))
    else:
        versions: list[int | None] = [None if number == answer.version else number for number in answer.versions or ()]
        nothing: list[None] = [None] * len(answer.ids)
        reasons = answer.reasons or nothing
        rows = [
            Prediction(name, value, version, reason is not None, reason)
            for name, value, version, reason in zip(answer.ids, answer.values, versions or nothing, reasons, strict=True)
        ]
    return Reply(200, _encoder.encode(Predictions(answer.model, answer.version, answer.revision, rows)))
