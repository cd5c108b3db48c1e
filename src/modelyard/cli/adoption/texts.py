"""The Python that adoption writes: a declaration with its training function, and its test. Every text of a run stands as a literal."""

import textwrap
from collections.abc import Mapping

import msgspec

from modelyard.cli.adoption.estimators import Call, is_free_name, literal, quoted, written
from modelyard.cli.adoption.rows import Learned
from modelyard.features.domain import DType
from modelyard.registry.domain import RiskTier

MOST_PURPOSE = 300
PYTHON: dict[DType, str] = {"string": "str", "int64": "int", "float64": "float", "bool": "bool"}
MADE_UP: dict[DType, str] = {
    "string": 'pl.Series(["a", "b", "c"] * 20, dtype=pl.Enum(["a", "b", "c"]))',
    "int64": "[number % 7 for number in range(COUNT)]",
    "float64": "[float(number % 11) for number in range(COUNT)]",
    "bool": "[number % 3 == 0 for number in range(COUNT)]",
}
USED = frozenset({"rows", "numbers", "model", "drift", "quality", "performance", "gate", "pl", "LABEL", "estimator"})
"""Names that the written module uses otherwise."""
STRICTEST = "# An approver other than its author lets each version through. Choose limited or minimal where a wrong answer does less harm."
FILL_IN = "FILL IN how the model is trained"


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """What is written about a model, beside its rows."""

    name: str
    run: str
    owner: str
    purpose: str
    risk: RiskTier
    rows: str
    params: Mapping[str, str]
    estimator: Call | None
    why_not: str
    recorded: str


def module_text(words: Words, learned: Learned) -> str:
    """The module that declares the model."""
    monitors = 'drift(), quality(), performance("roc_auc", drop=0.05)' if learned.task == "binary" else "drift(), quality()"
    used = ["drift", "gate", "model", *(["numbers"] if words.estimator else []), *(["performance"] if learned.task == "binary" else [])]
    imports = "".join(f"from {module} import {name}\n" for module, name in sorted(words.estimator.imports)) if words.estimator else ""
    fields = "".join(f"        {quoted(name)}: {PYTHON[dtype]},\n" for name, dtype in learned.inputs)
    told = f"    {STRICTEST}\n" if words.risk is RiskTier.HIGH else ""
    task = "" if learned.task == "binary" else '    task="regression",\n'
    return (
        f'"""{words.name}, as `yard adopt` read it from the run {words.run}. Every input comes with the request."""\n\n'
        f"import polars as pl\n{imports}\n"
        f"from modelyard import {', '.join([*used, 'quality', 'rows'])}\n\n"
        f"LABEL = {quoted(learned.label)}\n\n\n"
        f"@model(\n    owner={quoted(words.owner)},\n{told}    risk={quoted(words.risk.value)},\n    purpose={quoted(words.purpose)},\n"
        f"    rows=rows({quoted(words.rows)}),\n    request={{\n{fields}    }},\n    label=LABEL,\n{task}"
        f'    gates=[gate("champion == null || challenge.p_worse < 0.05")],\n    monitors=[{monitors}],\n)\n'
        f"{_function(words, learned)}"
    )


def _function(words: Words, learned: Learned) -> str:
    if words.estimator is None:
        return _unfilled(words)
    head = {
        key: value
        for key, value in words.estimator.arguments
        if type(value) in (int, float, str, bool) and key not in USED and key not in (words.name, words.estimator.name)
    }
    labels = "rows[LABEL].cast(pl.Int8)" if learned.label_is_flag else "rows[LABEL]"
    return (
        f"def {words.name}(rows: pl.DataFrame{_keywords(head)}) -> {words.estimator.name}:\n"
        f'    """The trained model. A text reaches it as its place among those seen, a missing value as NaN."""\n'
        f"    estimator = {written(words.estimator, {key: key for key in head})}\n"
        f"    return estimator.fit(numbers(rows.drop(LABEL)), {labels}.to_numpy())\n"
    )


def _unfilled(words: Words) -> str:
    """The function of a model whose training the run does not tell: it says so wherever it is called."""
    params = {key: literal(text) for key, text in sorted(words.params.items()) if is_free_name(key) and key not in (*USED, words.name)}
    head = {key: value for key, value in params.items() if type(value) in (int, float, str, bool)}
    where = f" The run's source lies in {words.recorded}." if words.recorded else ""
    told = f"{FILL_IN}: return a fitted estimator of scikit-learn or LightGBM, or an ONNX model.{where}"
    comment = "".join(f"    # {line}\n" for line in textwrap.wrap(told, 130))
    return (
        f"def {words.name}(rows: pl.DataFrame{_keywords(head)}) -> object:\n"
        f'    """The trained model, once this function says how: it is given the rows with the request\'s fields and the label."""\n'
        f"{comment}"
        f"    raise NotImplementedError({f'{FILL_IN}: yard adopt could not read it from the run, since {words.why_not}'!r})\n"
    )


def _keywords(values: Mapping[str, object]) -> str:
    told = ", ".join(f"{name}: {type(value).__name__} = {written(value, {})}" for name, value in values.items())
    return f", *, {told}" if told else ""


def test_text(words: Words, learned: Learned, module: str) -> str:
    """The test of the training function, on rows that are made up."""
    columns = "".join(f"            {quoted(name)}: {MADE_UP[dtype]},\n" for name, dtype in learned.inputs)
    outcome = "[number % 2 for number in range(COUNT)]" if learned.task == "binary" else "[float(number % 5) for number in range(COUNT)]"
    return (
        '"""The training function is a plain function: it is called here without a server."""\n\n'
        f"import polars as pl\nfrom {module} import {words.name}\n\nfrom modelyard import numbers\n\nCOUNT = 60\n\n\n"
        f"def test_it_learns_and_answers_every_row() -> None:\n"
        f"    rows = pl.DataFrame(\n        {{\n{columns}            {quoted(learned.label)}: {outcome},\n        }}\n    )\n"
        f"    trained = {words.name}(rows)\n"
        f"    assert len(trained.predict(numbers(rows.drop({quoted(learned.label)})))) == COUNT\n"
    )
