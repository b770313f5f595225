"""The checks in a receipt are sentences in both languages; foreign ones are shown as they came."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from connector.ui.checks import check_sentence
from policies.outputs import check_outputs


def test_every_check_that_we_make_is_a_sentence_in_both_languages() -> None:
    released = check_outputs(
        {
            "metrics.json": json.dumps({"mae": 0.5}).encode(),
            "model.safetensors": save({"weights": np.zeros(121, dtype=np.float32)}),
        },
        allowed_kinds=frozenset({"metrics", "model"}),
        declared={"metrics.json": "metrics", "model.safetensors": "model"},
    ).released
    phrases = [phrase for output in released for phrase in output.checks]

    assert len(phrases) > 8
    for phrase in phrases:
        said = check_sentence(phrase)
        assert said["de"] != said["en"]
        assert all(sentence[0].isupper() and sentence.endswith(".") for sentence in said.values())


@pytest.mark.parametrize(
    ("phrase", "german", "english"),
    [
        ("at most 200 values", "Es enthält höchstens 200 Werte.", "It holds at most 200 values."),
        (
            "121 of at most 10000 parameters",
            "Das Modell hat 121 Parameter; erlaubt sind 10.000.",
            "The model has 121 parameters; 10,000 are permitted.",
        ),
    ],
)
def test_numbers_are_written_as_the_language_writes_them(phrase: str, german: str, english: str) -> None:
    assert check_sentence(phrase) == {"de": german, "en": english}


@given(st.text(max_size=100))
def test_a_phrase_that_is_not_known_is_shown_as_it_came(phrase: str) -> None:
    assert check_sentence("x" + phrase) == {"de": "x" + phrase, "en": "x" + phrase}
