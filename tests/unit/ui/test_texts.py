"""Both languages are complete, used, and address the reader formally."""

import re
from pathlib import Path
from string import Formatter

import pytest

import connector.ui
from connector.ui.translating import read_texts

FOLDER = Path(connector.ui.__file__).parent
GERMAN, ENGLISH = read_texts("de"), read_texts("en")
SOURCES = "\n".join(
    path.read_text() for pattern in ("templates/*.html", "*.py") for path in sorted(FOLDER.glob(pattern))
)
COMPUTED = ("nav.", "side.", "state.", "role.", "rule.", "done.", "decide_")


def _placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def test_both_languages_have_the_same_texts() -> None:
    assert GERMAN.keys() == ENGLISH.keys()


@pytest.mark.parametrize("key", sorted(GERMAN))
def test_both_languages_fill_in_the_same_values(key: str) -> None:
    assert GERMAN[key].strip()
    assert ENGLISH[key].strip()
    assert _placeholders(GERMAN[key]) == _placeholders(ENGLISH[key])


def test_every_text_that_is_asked_for_exists() -> None:
    asked = set(re.findall(r"""\bt\(["']([a-z]+\.[A-Za-z_]+)["'][,)]""", SOURCES))

    assert len(asked) > 80
    assert asked <= GERMAN.keys()


def test_no_text_is_left_over() -> None:
    unused = {key for key in GERMAN if not key.startswith(COMPUTED) and key not in SOURCES}

    assert {key for key in unused if not key.endswith(".title")} == set()


def test_german_says_sie_and_never_du() -> None:
    informal = re.compile(r"\b(du|dich|dir|dein\w*|wähle|klicke|gib)\b", re.IGNORECASE)

    assert [key for key, text in GERMAN.items() if informal.search(text)] == []


def test_german_sentences_are_short() -> None:
    sentences = [(key, one) for key, text in GERMAN.items() for one in re.split(r"[.:] ", text)]

    assert [key for key, one in sentences if len(one.split()) > 18] == []
