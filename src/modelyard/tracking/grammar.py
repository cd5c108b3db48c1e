"""MLflow's filter and order-by grammar: text to typed comparisons. Owns the syntax; which names are known is a vocabulary.

A filter is comparisons joined by AND, which MLflow takes where it is missing, doubled or at an end. A name is `entity.key` or an
attribute's name alone; a key with characters beyond letters, digits, `_` and `.` stands in backticks or quotes. Texts stand in
single or double quotes and are taken as they are, without escapes.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from modelyard.tracking.domain import FilterInvalid

Entity = Literal["attribute", "metric", "parameter", "tag", "dataset"]
Operator = Literal["=", "!=", "<", "<=", ">", ">=", "LIKE", "ILIKE", "IN", "NOT IN", "IS NULL", "IS NOT NULL"]
Value = str | int | float | tuple[str, ...] | None

NUMBERS: frozenset[str] = frozenset({"=", "!=", "<", "<=", ">", ">="})
TEXTS: frozenset[str] = frozenset({"=", "!=", "LIKE", "ILIKE"})
MOST_COMPARISONS = 100
LONGEST_FILTER = 100_000
_BAD_LIST = "While parsing a list in the query"

ENTITIES: Mapping[str, Entity] = {
    "metric": "metric", "metrics": "metric",
    "parameter": "parameter", "parameters": "parameter", "param": "parameter", "params": "parameter",
    "tag": "tag", "tags": "tag",
    "attribute": "attribute", "attributes": "attribute", "attr": "attribute", "run": "attribute",
    "dataset": "dataset", "datasets": "dataset",
}  # fmt: skip


class Vocabulary(msgspec.Struct, frozen=True, kw_only=True):
    """The names that a search knows: entities by the words for them, attributes by kind, and what each may be compared by.

    `aliases` are other words for attributes in a filter, `order_aliases` in an order. `lists` are the attributes that IN
    takes. `operators` holds those of every entity but attributes, whose operators follow from their kind. Numeric attributes
    compare with whole numbers only where `has_whole_numbers` says so.
    """

    entities: Mapping[str, Entity]
    numbers: frozenset[str]
    texts: frozenset[str]
    lists: frozenset[str]
    operators: Mapping[Entity, frozenset[str]]
    text_operators: frozenset[str] = TEXTS | {"IN", "NOT IN"}
    aliases: Mapping[str, str] = {}
    order_aliases: Mapping[str, str] = {}
    dataset_keys: frozenset[str] = frozenset({"name", "digest", "context"})
    has_whole_numbers: bool = False
    may_repeat_order: bool = False
    nullable: str = "tags and params, not for '{}' '{}'"
    unknown_entity: str = "Invalid entity type '{}'. Valid values are ['metric', 'parameter', 'tag', 'attribute', 'dataset']"


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison of a filter. The value is a number for metrics and numeric attributes, else a text or texts."""

    entity: Entity
    key: str
    operator: Operator
    value: Value


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One key of an order."""

    entity: Entity
    key: str
    is_ascending: bool = True


class _Token(msgspec.Struct, frozen=True):
    kind: str
    text: str
    start: int = 0
    end: int = 0


_PART = r"(?:\w+|`[^`]*`|\"[^\"]*\")"
_TOKENS = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<text>'(?:''|\\'|[^'])*')"
    r"|(?P<number>-?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w`\"]))"
    rf"|(?P<name>{_PART}(?:\.(?:{_PART}|'[^']*'))*)"
    r"|(?P<operator><=|>=|!=|==|<>|=|<|>)"
    r"|(?P<mark>[(),;])"
    r"|(?P<other>.)",
    re.DOTALL,
)


def parse_filter(text: str, vocabulary: Vocabulary) -> tuple[Comparison, ...]:
    """The comparisons of a filter, all of which must hold; none for an empty text. Raises FilterInvalid.

    >>> parse_filter("metrics.loss < 0.5 AND tags.`my tag` LIKE 'a%'", RUNS)[1].key
    'my tag'
    """
    if not text:
        return ()
    if len(text) > LONGEST_FILTER:
        raise FilterInvalid(f"the filter has {len(text)} characters, more than {LONGEST_FILTER}")
    tokens = [_Token(str(m.lastgroup), m.group(), *m.span()) for m in _TOKENS.finditer(text) if m.lastgroup != "space"]
    if not tokens:
        raise FilterInvalid(f"Invalid filter '{text}'. Could not be parsed.")
    if any(token.text == ";" and token.kind == "mark" for token in tokens[:-1]):
        raise FilterInvalid(f"Search filter contained multiple expression {text!r}. Provide AND-ed expression list.")
    return _Reader(text, tokens, vocabulary).comparisons()


class _Reader:
    """Reads comparisons off a list of tokens, left to right."""

    def __init__(self, text: str, tokens: list[_Token], vocabulary: Vocabulary) -> None:
        self._text = text
        self._tokens = tokens
        self._at = 0
        self._vocabulary = vocabulary

    def comparisons(self) -> tuple[Comparison, ...]:
        found: list[Comparison] = []
        while self._at < len(self._tokens):
            if self._tokens[self._at].text.upper() == "AND":
                self._at += 1
                continue
            found.append(self._comparison())
            if len(found) > MOST_COMPARISONS:
                raise FilterInvalid(f"the filter has more than {MOST_COMPARISONS} comparisons")
        return tuple(found)

    def _comparison(self) -> Comparison:
        start = self._at
        if self._tokens[start].kind in ("text", "number"):
            raise FilterInvalid(f"Invalid comparison clause. Expected 'Identifier' found '{self._tokens[start].text[:80]}'")
        name = self._take("name")
        operator = self._operator()
        entity, key = named(name.text, self._vocabulary, self._vocabulary.aliases)
        if operator in ("IS NULL", "IS NOT NULL"):
            if "IS NULL" not in self._vocabulary.operators.get(entity, ()):
                raise FilterInvalid(f"IS NULL / IS NOT NULL is only supported for {self._vocabulary.nullable.format(entity, key)}")
            return Comparison(entity=entity, key=key, operator=operator, value=None)
        if self._at >= len(self._tokens):
            raise self._invalid(start)
        if self._tokens[self._at].text == "(":
            value: Value = self._list(entity, key)
        else:
            token = self._tokens[self._at]
            if token.kind not in ("text", "number", "name"):
                raise self._invalid(start)
            self._at += 1
            value = _value(entity, key, token, self._vocabulary)
        if isinstance(value, tuple) != (operator in ("IN", "NOT IN")):
            raise self._invalid(start)
        return Comparison(entity=entity, key=key, operator=_allowed(entity, key, operator, self._vocabulary), value=value)

    def _operator(self) -> Operator:
        token = self._tokens[self._at] if self._at < len(self._tokens) else _Token("end", "")
        word = token.text.upper()
        if token.kind == "operator" or (token.kind == "name" and word in ("LIKE", "ILIKE", "IN", "RLIKE")):
            self._at += 1
            return word  # type: ignore[return-value]  # `_allowed` refuses what is no operator
        words = [t.text.upper() for t in self._tokens[self._at : self._at + 3]]
        for phrase in (["IS", "NOT", "NULL"], ["NOT", "IN"], ["IS", "NULL"], ["NOT", "LIKE"], ["NOT", "ILIKE"]):
            if words[: len(phrase)] == phrase:
                self._at += len(phrase)
                return " ".join(phrase)  # type: ignore[return-value]  # `_allowed` refuses what is no operator
        raise self._invalid(self._at - 1)

    def _list(self, entity: Entity, key: str) -> tuple[str, ...]:
        if entity in ("parameter", "tag") and "IN" not in self._vocabulary.operators[entity]:
            raise FilterInvalid(f"Expected a quoted string value for {entity} (e.g. 'my-value'). Got value {self._rest()}")
        if entity == "metric" or (entity == "attribute" and key in self._vocabulary.numbers):
            what = "metric" if entity == "metric" else f"numeric attribute: {key}"
            raise FilterInvalid(f"Expected numeric value type for {what}. Found {self._rest()}")
        if entity == "attribute" and key not in self._vocabulary.lists:
            raise FilterInvalid(f"Only {sorted(self._vocabulary.lists)} attributes support comparison with a list of quoted string values.")
        return self._items()

    def _items(self) -> tuple[str, ...]:
        start = self._at + 1
        end = next((n for n in range(start, len(self._tokens)) if self._tokens[n].text == ")"), -1)
        inside = self._tokens[start:end] if end >= 0 else []
        self._at = end + 1
        if end == start:
            raise FilterInvalid(f"{_BAD_LIST}, expected a non-empty list of string values, but got empty list")
        items, marks = inside[::2], inside[1::2]
        if end < 0 or any(mark.text != "," for mark in marks):
            raise FilterInvalid(f"{_BAD_LIST}, expected a non-empty list of string values, but got ill-formed list.")
        for item in items:
            if item.kind != "text" and not _is_quoted(item):
                shown = ", ".join(one.text for one in items)
                raise FilterInvalid(
                    f"{_BAD_LIST}, expected string value, punctuation, or whitespace, but got different type in list: ({shown},)"
                )
        return tuple(item.text[1:-1] for item in items)

    def _take(self, kind: str) -> _Token:
        if self._at >= len(self._tokens) or self._tokens[self._at].kind != kind:
            raise self._invalid(self._at)
        self._at += 1
        return self._tokens[self._at - 1]

    def _rest(self) -> str:
        """The list that begins here, as it was written."""
        closing = next((token.end for token in self._tokens[self._at :] if token.text == ")"), len(self._text))
        return self._text[self._tokens[self._at].start : closing][:200]

    def _invalid(self, start: int) -> FilterInvalid:
        clauses = ", ".join(f"'{token.text[:80]}'" for token in self._tokens[max(start, 0) : start + 4])
        return FilterInvalid(f"Invalid clause(s) in filter string: {clauses}")


def named(text: str, vocabulary: Vocabulary, aliases: Mapping[str, str]) -> tuple[Entity, str]:
    """The entity and key that a name such as ``metrics.`my loss` `` means. Raises FilterInvalid."""
    head, dot, rest = text.partition(".")
    word = _bare(head)
    if not dot:
        entity: Entity = "attribute"
        key = word
    elif word in vocabulary.entities:
        entity, key = vocabulary.entities[word], _bare(rest)
    else:
        raise FilterInvalid(vocabulary.unknown_entity.format(word))
    if entity == "attribute":
        known_keys = vocabulary.numbers | vocabulary.texts
        key = aliases.get(key, key)
        if key not in known_keys:
            raise FilterInvalid(f"Invalid attribute key '{key}' specified. Valid keys are '{_shown(known_keys | set(aliases))}'")
    if entity == "dataset" and key not in vocabulary.dataset_keys:
        raise FilterInvalid(f"Invalid dataset key '{key}' specified. Valid keys are '{_shown(vocabulary.dataset_keys)}'")
    return entity, key


def _shown(words: Iterable[str]) -> str:
    return f"{{{', '.join(map(repr, sorted(words)))}}}"


def _bare(text: str) -> str:
    """A name without the quotes around it as a whole."""
    for quote in ('"', "'", "`"):
        if len(text) >= 2 and text[0] == text[-1] == quote:
            text = text[1:-1]
    return text


def _is_quoted(token: _Token) -> bool:
    return token.kind == "name" and len(token.text) >= 2 and token.text[0] == token.text[-1] == '"' and token.text.count('"') == 2


def _value(entity: Entity, key: str, token: _Token, vocabulary: Vocabulary) -> str | int | float:
    if entity == "metric" or (entity == "attribute" and key in vocabulary.numbers):
        if token.kind != "number":
            what = "metric" if entity == "metric" else f"numeric attribute: {key}"
            raise FilterInvalid(f"Expected numeric value type for {what}. Found {token.text}")
        is_whole = re.fullmatch(r"-?\d+", token.text) is not None
        if entity == "attribute" and vocabulary.has_whole_numbers and not is_whole:
            raise FilterInvalid(f"Invalid value for numeric attribute '{key}': '{token.text}'")
        return int(token.text) if entity != "metric" and is_whole else float(token.text)
    if token.kind == "text" or _is_quoted(token):
        return token.text[1:-1]
    if token.kind == "name":
        raise FilterInvalid(
            "Parameter value is either not quoted or unidentified quote types used for string value "
            f"{token.text}. Use either single or double quotes."
        )
    what = {"attribute": "attributes", "dataset": "dataset attributes"}.get(entity, f"{entity} (e.g. 'my-value')")
    raise FilterInvalid(f"Expected a quoted string value for {what}. Got value {token.text}")


def _allowed(entity: Entity, key: str, operator: Operator, vocabulary: Vocabulary) -> Operator:
    if entity == "attribute":
        allowed = NUMBERS if key in vocabulary.numbers else vocabulary.text_operators
    else:
        allowed = vocabulary.operators[entity]
    if operator not in allowed:
        raise FilterInvalid(f"Invalid comparator '{operator}' not one of '{_shown(allowed)}")
    return operator


_ORDER = re.compile(rf"\s*(?P<name>{_PART}(?:\.{_PART})*)(?:\s+(?P<direction>\w+))?\s*")


def parse_order(text: str, vocabulary: Vocabulary) -> Order:
    """One key of an order, such as `metrics.loss DESC`. Raises FilterInvalid."""
    match = _ORDER.fullmatch(text)
    if not match:
        raise FilterInvalid(f"Invalid order_by clause '{text[:200]}'. Could not be parsed.")
    direction = (match["direction"] or "asc").lower()
    if direction not in ("asc", "desc"):
        raise FilterInvalid(f"Invalid ordering key in order_by clause '{text[:200]}'.")
    entity, key = named(match["name"], vocabulary, vocabulary.order_aliases)
    return Order(entity=entity, key=key, is_ascending=direction == "asc")


def parse_orders(texts: tuple[str, ...], vocabulary: Vocabulary) -> tuple[Order, ...]:
    """The keys of an order, most significant first. Raises FilterInvalid, also where a key comes twice."""
    orders = tuple(parse_order(text, vocabulary) for text in texts)
    if len({(order.entity, order.key) for order in orders}) < len(orders) and not vocabulary.may_repeat_order:
        raise FilterInvalid(f"`order_by` contains duplicate fields: {list(texts)}")
    return orders


_NULLABLE = TEXTS | {"IS NULL", "IS NOT NULL"}

RUNS = Vocabulary(
    entities=ENTITIES,
    numbers=frozenset({"start_time", "end_time"}),
    texts=frozenset({"run_id", "run_name", "status", "user_id", "artifact_uri"}),
    lists=frozenset({"run_id"}),
    operators={"metric": NUMBERS, "parameter": _NULLABLE, "tag": _NULLABLE, "dataset": TEXTS | {"IN", "NOT IN"}},
    aliases={"created": "start_time", "Created": "start_time", "run name": "run_name", "Run name": "run_name", "Run Name": "run_name"},
    order_aliases={"created": "start_time", "Created": "start_time"},
)
"""What a search of runs knows."""

EXPERIMENTS = Vocabulary(
    entities={"attribute": "attribute", "tag": "tag", "tags": "tag"},
    numbers=frozenset({"creation_time", "last_update_time"}),
    texts=frozenset({"name", "experiment_id"}),
    lists=frozenset({"experiment_id"}),
    operators={"tag": _NULLABLE},
    unknown_entity="Invalid entity type '{}'. Valid entity types are ('attribute', 'tag', 'tags')",
    nullable="tags, not for {} '{}'",
    has_whole_numbers=True,
    may_repeat_order=True,
)
"""What a search of experiments knows."""

MODELS = Vocabulary(
    entities={"attributes": "attribute", "metrics": "metric", "params": "parameter", "tags": "tag"},
    numbers=frozenset({"creation_timestamp_ms", "last_updated_timestamp_ms"}),
    texts=frozenset({"name", "model_id", "model_type", "source_run_id", "status", "experiment_id"}),
    lists=frozenset({"name", "model_id", "model_type", "source_run_id", "status", "experiment_id"}),
    operators={"metric": NUMBERS, "parameter": TEXTS | {"IN", "NOT IN"}, "tag": TEXTS | {"IN", "NOT IN"}},
    unknown_entity="Invalid entity type: '{}'. Expected one of ['attributes', 'metrics', 'params', 'tags'].",
    aliases={
        "creation_time": "creation_timestamp_ms",
        "creation_timestamp": "creation_timestamp_ms",
        "last_updated_timestamp": "last_updated_timestamp_ms",
    },
    order_aliases={
        "creation_time": "creation_timestamp_ms",
        "creation_timestamp": "creation_timestamp_ms",
        "last_updated_timestamp": "last_updated_timestamp_ms",
    },
)
"""What a search of logged models knows."""
