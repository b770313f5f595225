"""Which of several representations a client prefers: the Accept headers of HTTP.

Source:
    RFC 9110, sections 12.4 and 12.5.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Preference:
    """One item of an Accept or Accept-Language header.

    Attributes:
        name: A media range such as `text/*`, or a language range such as `de-AT`; lower case.
        quality: How much it is wanted, from 0 (not at all) to 1.
    """

    name: str
    quality: float


_QUALITY: Final = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?")
_LONGEST_HEADER: Final = 4096


def parse_preferences(header: str) -> tuple[Preference, ...]:
    """Read an Accept or Accept-Language header.

    Args:
        header: The header's value. Items with a malformed quality are left out;
            of an overlong header only the beginning is read.

    Returns:
        The items in their stated order.
    """
    items = (item.strip() for item in header[:_LONGEST_HEADER].split(","))
    parsed = (_parse_item(item) for item in items if item)
    return tuple(preference for preference in parsed if preference is not None)


def _parse_item(item: str) -> Preference | None:
    name, *parameters = (part.strip().lower() for part in item.split(";"))
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            text = value.strip()
            return Preference(name, float(text)) if _QUALITY.fullmatch(text) else None
    return Preference(name, 1.0) if name else None


def choose_media_type(header: str | None, offered: Sequence[str]) -> str | None:
    """The media type to answer with.

    The most specific matching range decides a type's quality; among types of
    equal quality the one offered first wins.

    Args:
        header: The Accept header; None or empty where the client sent none.
        offered: Media types in our order of preference, at least one.

    Returns:
        One of `offered`, or None where the client accepts none of them.
    """
    if header is None or not header.strip():
        return offered[0]
    preferences = parse_preferences(header)
    rated = [(_media_quality(media_type, preferences), media_type) for media_type in offered]
    quality, best = max(rated, key=lambda pair: pair[0])
    return best if quality > 0 else None


def _media_quality(media_type: str, preferences: Sequence[Preference]) -> float:
    ranges = (media_type, media_type.partition("/")[0] + "/*", "*/*")
    for wanted in ranges:
        matching = [one.quality for one in preferences if one.name == wanted]
        if matching:
            return max(matching)
    return 0.0


def choose_language(header: str | None, offered: Sequence[str]) -> str:
    """The language to answer in; there is always one.

    Args:
        header: The Accept-Language header, if the client sent one.
        offered: Primary language tags in our order of preference, at least one.

    Returns:
        One of `offered`; the first where the client wants none of them.
    """
    preferences = parse_preferences(header or "")
    rated = [(_language_quality(language, preferences), language) for language in offered]
    quality, best = max(rated, key=lambda pair: pair[0])
    return best if quality > 0 else offered[0]


def _language_quality(language: str, preferences: Sequence[Preference]) -> float:
    exact = [one.quality for one in preferences if one.name.partition("-")[0] == language]
    fallback = [one.quality for one in preferences if one.name == "*"]
    return max(exact or fallback, default=0.0)
