"""Buckets' questions and answers as bytes, for other machines: JSON and Arrow, nothing that is run when it is read."""

import importlib.metadata
import io

import msgspec
import numpy as np
import polars as pl

from modelyard.features.domain import FeatureView
from modelyard.features.stored.answers import BucketTask, bucket_answers

VERSION = importlib.metadata.version("modelyard")
AT, SEEN = "\x1fat", "\x1fseen"


class Packed(msgspec.Struct, frozen=True):
    """A task as it travels: what it is made with, the view, the files and what opens them, and frames as Arrow."""

    modelyard: str
    view: FeatureView
    files: tuple[str, ...]
    options: dict[str, str]
    wanted: bytes
    questions: bytes


class OtherVersion(Exception):
    """A node has another Modelyard than who asks: its answers might be others."""


def packed(task: BucketTask) -> bytes:
    """The task as bytes."""
    questions = task.keys.with_columns(pl.Series(AT, task.at), pl.Series(SEEN, task.seen_at))
    wanted = pl.DataFrame(schema=dict(task.wanted))
    return msgspec.msgpack.encode(Packed(VERSION, task.view, task.files, dict(task.options), _arrow(wanted), _arrow(questions)))


def unpacked(content: bytes) -> BucketTask:
    """The task in `content`. Raises OtherVersion."""
    found = msgspec.msgpack.decode(content, type=Packed)
    if found.modelyard != VERSION:
        raise OtherVersion(f"this node has Modelyard {VERSION}, and {found.modelyard} asks")
    questions = pl.read_ipc(found.questions)
    at, seen_at = questions[AT].to_numpy(), questions[SEEN].to_numpy()
    return BucketTask(
        found.view,
        dict(pl.read_ipc(found.wanted).schema),
        found.files,
        questions.drop(AT, SEEN),
        at,
        at if np.array_equal(at, seen_at) else seen_at,
        found.options,
    )


def answered(content: bytes) -> bytes:
    """The answers to the task in `content`: what runs on a node."""
    return _arrow(bucket_answers(unpacked(content)))


def _arrow(frame: pl.DataFrame) -> bytes:
    made = io.BytesIO()
    frame.write_ipc(made)
    return made.getvalue()
