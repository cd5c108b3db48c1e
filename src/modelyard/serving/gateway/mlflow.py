"""MLflow's scoring protocol: its four JSON forms as columns, and its answer. Owns the forms; the fields are checked by `rows`."""

from collections.abc import Sequence
from typing import Any

import msgspec

from modelyard.serving.domain import BadRows
from modelyard.serving.gateway.handler import Answer
from modelyard.serving.gateway.rows import Asked, Form, check_count
from modelyard.serving.gateway.wire import Reply, json_reply

HINT = 'send {"dataframe_split": {"columns": [...], "data": [[...]]}}, or dataframe_records, instances or inputs'


class _Split(msgspec.Struct):
    columns: list[str]
    data: list[list[Any]]
    index: list[Any] | None = None


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    dataframe_split: _Split | None = None
    dataframe_records: list[dict[str, Any]] | None = None
    instances: list[Any] | None = None
    inputs: dict[str, Any] | list[Any] | None = None
    params: dict[str, Any] | None = None


_decoder = msgspec.json.Decoder(_Body)


def asked_of(content: bytes, form: Form) -> Asked:
    """What a body asks. Raises BadRows and TooLarge."""
    try:
        body = _decoder.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        text = str(form.refusal(error).message)
        raise BadRows(text, hint=HINT) from error
    given = [one for one in (body.dataframe_split, body.dataframe_records, body.instances, body.inputs) if one is not None]
    if len(given) != 1:
        raise BadRows(f"the body holds {len(given) or 'none'} of dataframe_split, dataframe_records, instances and inputs", hint=HINT)
    if body.params:
        raise BadRows("params are not taken by this model", hint="leave params out")
    (one,) = given
    if isinstance(one, _Split):
        return _from_lists(one.data, one.columns, form)
    if isinstance(one, dict):
        columns = {name: cells if isinstance(cells, list) else [cells] for name, cells in one.items()}
        return form.checked(columns, max(map(len, columns.values()), default=0))
    return _from_rows(one, form)


def _from_rows(rows: Sequence[Any], form: Form) -> Asked:
    check_count(len(rows))
    if all(isinstance(row, dict) for row in rows):
        names = dict.fromkeys(name for row in rows for name in row)
        short = next(((place, name) for place, row in enumerate(rows) for name in form.required if name not in row), None)
        if short is not None:
            raise BadRows(f"rows[{short[0]}]: the field {short[1]!r} is missing", hint=f"the model takes {', '.join(form.fields)}")
        return form.checked({name: [row.get(name) for row in rows] for name in names}, len(rows))
    lists = [row if isinstance(row, list) else [row] for row in rows]
    return _from_lists(lists, list(form.fields), form)


def _from_lists(rows: Sequence[list[Any]], names: Sequence[str], form: Form) -> Asked:
    check_count(len(rows))
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise BadRows(f"the column {twice!r} stands twice", hint="name each column once")
    uneven = next((place for place, row in enumerate(rows) if len(row) != len(names)), None)
    if uneven is not None:
        raise BadRows(f"rows[{uneven}] has {len(rows[uneven])} values for {len(names)} columns", hint=f"the columns are {', '.join(names)}")
    return form.checked(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)), len(rows))


def reply_of(answer: Answer) -> Reply:
    """MLflow's answer, with what ours says besides."""
    extra: dict[str, Any] = {"model": answer.model, "version": answer.version, "revision": answer.revision, "ids": answer.ids}
    if answer.reasons is not None:
        extra["fallback_reasons"] = answer.reasons
    return json_reply({"predictions": answer.values, **extra})
