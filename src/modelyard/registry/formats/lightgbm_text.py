"""The check of a LightGBM text: every size, length and index that the library's parser and its trees rely on.

Pure: bytes in, an error out. Owns no loading. What it lets through cannot lead outside of a tree's own arrays, nor round
in circles; it says nothing about whether the model is any good.
"""

import itertools
import re
from collections.abc import Sequence

import msgspec

from modelyard.registry.domain import BadArtifact, FormatRefused

MOST_TREES = 100_000
MOST_LEAVES = 131_072
MOST_FEATURES = 100_000
CATEGORICAL = 1

_OBJECTIVES = frozenset(
    {
        "binary", "regression", "regression_l1", "regression_l2", "huber", "fair", "poisson", "quantile", "mape", "gamma", "tweedie",
        "cross_entropy", "cross_entropy_lambda", "lambdarank", "rank_xendcg", "custom",
    }
)  # fmt: skip
_HEAD_FIELDS = frozenset(
    {
        "version", "num_class", "num_tree_per_iteration", "label_index", "max_feature_idx", "objective", "feature_names", "feature_infos",
        "monotone_constraints", "tree_sizes",
    }
)  # fmt: skip
# Fields that no answer needs, but that the library ends the process over where their lengths are wrong.
_BY_NODE = ("split_gain", "internal_value", "internal_weight", "internal_count")
_BY_LEAF = ("leaf_weight", "leaf_count")
_TREE_FIELDS = frozenset(
    {
        "Tree", "num_leaves", "num_cat", "split_feature", "threshold", "decision_type", "left_child", "right_child", "leaf_value",
        "cat_boundaries", "cat_threshold", "is_linear", "shrinkage", *_BY_NODE, *_BY_LEAF,
        # Of linear trees only, which are refused; the library does not read these in any other.
        "leaf_const", "num_features", "leaf_features", "leaf_coeff",
    }
)  # fmt: skip
_NUMBER = re.compile(r"-?(\d+(\.\d*)?([eE][+-]?\d+)?|nan|inf)")
_TREE = re.compile(rb"Tree=(\d+)\n")
_OBJECTIVE = re.compile(r"[a-z_0-9]+( (sigmoid|alpha|sqrt|c|fair_c|num_class|tweedie_variance_power):[0-9.eE+-]+| sqrt)*")


class TextHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What the head of a text says: features and classes, and the size in bytes of each tree's block."""

    features: int
    classes: int
    objective: str
    sizes: tuple[int, ...]


def header_of(content: bytes) -> TextHeader:
    """The head of a text. Raises BadArtifact where it is none."""
    head = content[: content.find(b"\nTree=")] if b"\nTree=" in content else content.partition(b"end of trees")[0]
    if not head.startswith(b"tree\n") or b"\x00" in content:
        raise _bad("it does not begin with 'tree'")
    if b"\r" in content:
        # The library ends a line here too, so that it would read fields which this check takes for part of a value.
        raise _bad("it holds a carriage return")
    fields = _fields(head, _HEAD_FIELDS)
    if fields.get("version") not in ("v3", "v4"):
        raise _bad(f"version {fields.get('version')!r}, known are v3 and v4")
    features = _numbers(fields, "max_feature_idx", 1)[0] + 1
    classes = _numbers(fields, "num_tree_per_iteration", 1)[0]
    if not 1 <= features <= MOST_FEATURES or not 1 <= classes <= 10_000 or _numbers(fields, "num_class", 1)[0] != classes:
        raise _bad(f"{features} features and {classes} classes")
    if len(fields.get("feature_names", "").split()) != features or len(fields.get("feature_infos", "").split()) != features:
        raise _bad("names and ranges of features are not as many as its features")
    _numbers(fields, "label_index", 1)
    if "monotone_constraints" in fields and not all(-1 <= one <= 1 for one in _numbers(fields, "monotone_constraints", features)):
        raise _bad("a feature's constraint is none of -1, 0 and 1")
    objective = fields.get("objective", "custom")
    return TextHeader(features=features, classes=classes, objective=objective, sizes=tuple(_numbers(fields, "tree_sizes")))


def check_text(content: bytes) -> None:
    """Raises BadArtifact unless the text holds together, FormatRefused for what is sound but not served."""
    header = header_of(content)
    _check_objective(header.objective)
    if len(header.sizes) > MOST_TREES:
        raise _bad(f"{len(header.sizes)} trees")
    start = content.find(b"Tree=0\n")
    for number, size in enumerate(header.sizes):
        block = content[start : start + size] if start >= 0 and size > 0 else b""
        match = _TREE.match(block)
        if match is None or int(match[1]) != number or len(block) != size:
            raise _bad(f"tree {number} does not begin where its size says")
        _check_tree(number, _fields(block, _TREE_FIELDS), header.features)
        start += size
    if header.sizes and not content[start:].lstrip(b"\n").startswith(b"end of trees"):
        raise _bad("its trees do not end where their sizes say")


def _check_objective(text: str) -> None:
    if text.split(" ", maxsplit=1)[0] not in _OBJECTIVES:
        raise FormatRefused(
            f"the objective {text[:40]!r} does not answer one number a row", hint="train a binary or a regression objective"
        )
    if not _OBJECTIVE.fullmatch(text):
        raise _bad(f"the objective {text[:60]!r}")


def _check_tree(number: int, fields: dict[str, str], features: int) -> None:
    leaves = _numbers(fields, "num_leaves", 1)[0]
    categories = _numbers(fields, "num_cat", 1)[0]
    if not 1 <= leaves <= MOST_LEAVES or not 0 <= categories < MOST_LEAVES:
        raise _bad(f"tree {number} has {leaves} leaves")
    if fields.get("is_linear", "0") != "0":
        raise FormatRefused("linear trees are not served", hint="train with linear_tree=false")
    _floats(fields, "leaf_value", leaves)
    nodes = leaves - 1
    _check_lengths(fields, nodes)
    if leaves == 1:
        return
    kinds = _numbers(fields, "decision_type", nodes)
    thresholds = _floats(fields, "threshold", nodes)
    if not all(0 <= feature < features for feature in _numbers(fields, "split_feature", nodes)):
        raise _bad(f"tree {number} splits on a feature that is not there")
    for side in ("left_child", "right_child"):
        # A node's children come after it, so that no way through the tree is a circle; ~leaf is a leaf.
        if not all((node < child < nodes) if child >= 0 else (~child < leaves) for node, child in enumerate(_numbers(fields, side, nodes))):
            raise _bad(f"tree {number} leads outside of itself")
    if not all(-128 <= kind <= 127 for kind in kinds):
        raise _bad(f"tree {number} has a decision of an unknown kind")
    places = [threshold for kind, threshold in zip(kinds, thresholds, strict=True) if kind & CATEGORICAL]
    _check_categories(number, fields, categories, places)


def _check_lengths(fields: dict[str, str], nodes: int) -> None:
    for names, count in ((_BY_NODE, nodes), (_BY_LEAF, nodes + 1), (("shrinkage",), 1)):
        for name in names:
            if fields.get(name):
                _floats(fields, name, count)


def _check_categories(number: int, fields: dict[str, str], count: int, places: Sequence[float]) -> None:
    if not all(0 <= place < count for place in places):
        raise _bad(f"tree {number} has a split on categories that are not there")
    if count:
        bounds = _numbers(fields, "cat_boundaries", count + 1)
        words = _numbers(fields, "cat_threshold")
        is_rising = all(low <= high for low, high in itertools.pairwise(bounds))
        if bounds[0] != 0 or bounds[-1] != len(words) or not is_rising or not all(0 <= word < 2**32 for word in words):
            raise _bad(f"tree {number} has sets of categories that do not fit together")


def _fields(block: bytes, known: frozenset[str]) -> dict[str, str]:
    """The fields of a block, each said once, none that the library may know and this check does not."""
    try:
        lines = block.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise _bad("it is not UTF-8") from error
    result: dict[str, str] = {}
    for line in lines:
        key, mark, value = line.partition("=")
        if not mark:
            continue
        if key not in known or key in result:
            raise _bad(f"{key[:40]!r} is {'said twice' if key in result else 'no field that is known'}")
        result[key] = value
    return result


def _words(fields: dict[str, str], key: str) -> list[str]:
    """The numbers of a field as words. Python reads 1_2, tabs and digits of other scripts, the library does not."""
    text = fields.get(key, "")
    words = text.split(" ") if text else []
    if not text.isascii() or not all(_NUMBER.fullmatch(word) for word in words):
        raise _bad(f"{key} holds what is no number")
    return words


def _numbers(fields: dict[str, str], key: str, count: int | None = None) -> list[int]:
    try:
        found = [int(word) for word in _words(fields, key)]
    except ValueError as error:
        raise _bad(f"{key} holds what is no whole number") from error
    if count is not None and len(found) != count:
        raise _bad(f"{key} has {len(found)} numbers, expected are {count}")
    return found


def _floats(fields: dict[str, str], key: str, count: int) -> list[float]:
    try:
        found = [float(word) for word in _words(fields, key)]
    except ValueError as error:
        raise _bad(f"{key} holds what is no number") from error
    if len(found) != count:
        raise _bad(f"{key} has {len(found)} numbers, expected are {count}")
    return found


def _bad(why: str) -> BadArtifact:
    return BadArtifact(f"this is no LightGBM text: {why}", hint="save the model again with the library that trained it")
