"""Which part of a catalog somebody asks for: the filter of a CatalogRequestMessage, and a page's place.

The protocol leaves the filter's form to the implementation. Two are understood:
ours, a list of conditions of which all must hold, and the `QuerySpec` that the
Eclipse Dataspace Components send. What is not understood is refused: whoever
filters and is not understood must not take everything for what was asked.

Source:
    DSP 2025-1, section 6 (catalog protocol) and its HTTPS binding, pagination;
    docs/protocol.md.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from catalog.errors import SelectionError
from schemas.strict_json import JsonObject, JsonValue, MalformedJsonError, loads
from schemas.vocabulary import ALLMENDE, DCAT, DCT, DSPACE, EDC

MOST_ON_A_PAGE: Final = 100
"""Most datasets on one page; a QuerySpec may ask for fewer."""
_MOST_CHARACTERS: Final = 2_000
"""A filter stands in the addresses of the following pages."""
_MOST_TOKEN_CHARACTERS: Final = 8_000
_THEMES: Final = "http://publications.europa.eu/resource/authority/data-theme/"

MEMBERS: Final = ("dataset", "format", "keyword", "table", "text", "theme")
"""What a condition can be about."""
_ALIASES: Final[Mapping[str, str]] = {
    **{name: name for name in MEMBERS},
    **{ALLMENDE + name: name for name in MEMBERS},
    DSPACE + "dataset": "dataset",
    DCT + "format": "format",
    DCAT + "keyword": "keyword",
    DCAT + "theme": "theme",
}
_CRITERIA: Final[Mapping[str, str]] = {
    **_ALIASES,
    "id": "dataset",
    EDC + "id": "dataset",
}
"""What the left operand of a Criterion can be; `text` is ours alone."""
_OPERATORS: Final = ("=", "in")
_QUERY: Final = frozenset({"offset", "limit", "sortField", "sortOrder", "filterExpression"})
_CRITERION: Final = frozenset({"operandLeft", "operator", "operandRight"})


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that a dataset must be.

    Attributes:
        member: One of `MEMBERS`.
        values: Any of these, in lower case; at least one.
    """

    member: str
    values: tuple[str, ...]


Position = tuple[str, str]
"""Where a dataset stands in its catalog: when it was first published, and its identifier."""


@dataclass(frozen=True, slots=True)
class Selection:
    """A part of a catalog.

    Attributes:
        conditions: All of them hold for each dataset.
        size: Most datasets on a page.
        offset: How many of the datasets are skipped, on the first page.
        after: The page begins behind this dataset; it need not exist any more.
        before: The page ends before this dataset, likewise.
    """

    conditions: tuple[Condition, ...] = ()
    size: int = MOST_ON_A_PAGE
    offset: int = 0
    after: Position | None = None
    before: Position | None = None


def read_filter(stated: Sequence[JsonValue]) -> Selection:
    """Read the `filter` of a CatalogRequestMessage.

    Each item is an object. In our own form its members are `dataset` (an
    identifier), `keyword`, `theme` (code or IRI of an EU data theme), `table`,
    `format` and `text` (a part of title, description or a keyword in any
    language), each with a text or a list of texts of which one must fit; small
    and capital letters are the same. In EDC's form it is a QuerySpec: `offset`
    and `limit` are followed, criteria on `id` and on our members with `=` and
    `in`, too.

    Args:
        stated: The items; none selects everything.

    Raises:
        SelectionError: An item is not understood; the sentence says what would be.
    """
    selection = Selection()
    for item in stated:
        if not isinstance(item, dict):
            raise SelectionError(f"A filter is an object with some of: {', '.join(MEMBERS)}.")
        named = {_plain(name): value for name, value in item.items() if name not in {"@id", "@type"}}
        if _is_query(item, named):
            selection = _with_query(selection, named)
        else:
            selection = _with_conditions(selection, item)
    if len(json.dumps(_written(selection.conditions))) > _MOST_CHARACTERS:
        raise SelectionError(
            f"The filter is longer than {_MOST_CHARACTERS} characters; ask for less at once."
        )
    return selection


def _plain(name: str) -> str:
    return name.removeprefix(EDC).removeprefix("edc:")


def _is_query(item: JsonObject, named: Mapping[str, JsonValue]) -> bool:
    kind = item.get("@type")
    return (isinstance(kind, str) and _plain(kind) == "QuerySpec") or not _QUERY.isdisjoint(named)


def _with_conditions(selection: Selection, item: JsonObject) -> Selection:
    unknown = sorted(set(item) - set(_ALIASES))
    if unknown:
        raise SelectionError(
            f"The catalog cannot be filtered by {unknown[0][:100]!r}; it can be by: {', '.join(MEMBERS)}."
        )
    if not item:
        raise SelectionError(f"An empty filter selects nothing; name some of: {', '.join(MEMBERS)}.")
    conditions = tuple(_condition(_ALIASES[name], value) for name, value in item.items())
    return replace(selection, conditions=selection.conditions + conditions)


def _condition(member: str, stated: JsonValue) -> Condition:
    values = stated if isinstance(stated, list) else [stated]
    texts = tuple(text for value in values if (text := _text(value)) is not None)
    if not texts or len(texts) != len(values):
        raise SelectionError(
            f"The filter by {member} needs a text, or a list of texts of which one must fit."
        )
    if member == "theme":
        texts = tuple(text.removeprefix(_THEMES) for text in texts)
    return Condition(member, tuple(text.casefold() for text in texts))


def _text(value: JsonValue) -> str | None:
    """A text as it is, or out of the objects in which JSON-LD may write it."""
    if isinstance(value, dict):
        value = value.get("@value", value.get("@id"))
    return value if isinstance(value, str) and value else None


def _with_query(selection: Selection, query: Mapping[str, JsonValue]) -> Selection:
    unknown = sorted(set(query) - _QUERY)
    if unknown:
        raise SelectionError(
            f"A QuerySpec has no {unknown[0][:100]!r} here; it has: {', '.join(sorted(_QUERY))}."
        )
    if query.get("sortField") is not None:
        raise SelectionError("The catalog has one order, oldest first; leave out sortField.")
    criteria = query.get("filterExpression") or []
    listed = criteria if isinstance(criteria, list) else [criteria]
    return replace(
        selection,
        conditions=selection.conditions + tuple(_criterion(one) for one in listed),
        size=min(_number(query, "limit", 1, MOST_ON_A_PAGE), MOST_ON_A_PAGE),
        offset=_number(query, "offset", 0, 0),
    )


def _number(query: Mapping[str, JsonValue], name: str, least: int, default: int) -> int:
    value = query.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise SelectionError(f"The {name} of a QuerySpec is a whole number from {least}.")
    return value


def _criterion(stated: JsonValue) -> Condition:
    named = {_plain(name): value for name, value in stated.items()} if isinstance(stated, dict) else {}
    left, operator = (_text(named.get(name)) or "" for name in ("operandLeft", "operator"))
    if not set(named) - {"@id", "@type"} <= _CRITERION or left not in _CRITERIA or operator not in _OPERATORS:
        raise SelectionError(
            f"A Criterion on {left[:100]!r} with {operator[:20]!r} is not understood; one has as "
            f"operandLeft id or one of {', '.join(MEMBERS)}, and as operator {' or '.join(_OPERATORS)}."
        )
    return _condition(_CRITERIA[left], named.get("operandRight"))


def _written(conditions: tuple[Condition, ...]) -> list[JsonValue]:
    return [{condition.member: list(condition.values)} for condition in conditions]


def write_token(selection: Selection) -> str:
    """The place of a page in characters that an address can carry."""
    content: JsonObject = {"filter": _written(selection.conditions), "size": selection.size}
    for name, position in (("after", selection.after), ("before", selection.before)):
        if position is not None:
            content[name] = list(position)
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_token(token: str) -> Selection:
    """The place that `write_token` has written.

    A token is no secret and grants nothing: whoever makes one up selects what a
    filter could have selected.

    Raises:
        SelectionError: Nothing of ours has written this.
    """
    try:
        if len(token) > _MOST_TOKEN_CHARACTERS:
            raise SelectionError("too long")  # noqa: TRY301 - one sentence for everything below
        content = loads(urlsafe_b64decode(token + "=" * (-len(token) % 4)), max_depth=8)
        return _placed(content)
    except (ValueError, KeyError, TypeError, MalformedJsonError, SelectionError) as problem:
        raise SelectionError(
            "The continuationToken is none of ours; begin with a catalog request again."
        ) from problem


def _placed(content: JsonValue) -> Selection:
    if not isinstance(content, dict) or not isinstance(content["filter"], list):
        raise TypeError("no token")
    selection = read_filter([*content["filter"], {"limit": content["size"]}])
    return replace(selection, after=_position(content, "after"), before=_position(content, "before"))


def _position(content: JsonObject, name: str) -> Position | None:
    match content.get(name):
        case None:
            return None
        case [str(issued), str(identifier)]:
            return issued, identifier
        case _:
            raise TypeError("no position")
