"""Identifiers are short on a page, keep their full value, and cannot pretend to be others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.ui.shortening import Piece, pieces_of, shortened

DIGEST = "8a38dc0d453a255ceab9a20040d4eda9d04ac49bb9a7e52af094ad53edf01b86"
UUID = "urn:uuid:5e2de07f-ea80-4174-9c19-a7e94f975441"


@pytest.mark.parametrize(
    ("identifier", "short"),
    [
        (DIGEST, "8a38dc0d…f01b86"),
        (UUID, "5e2de07f…"),
        ("did:web:lastwerk-ki.example", "lastwerk-ki.example"),
        ("did:web:localhost%3A44045", "localhost:44045"),
        ("did:web:region.example:stadtwerke", "region.example/stadtwerke"),
        ("https://w3id.org/dpv#Marketing", "https://w3id.org/dpv#Marketing"),
        ("load_profiles", "load_profiles"),
    ],
)
def test_an_identifier_is_shown_at_a_length_that_people_compare(identifier: str, short: str) -> None:
    assert shortened(identifier) == short


def test_a_host_cannot_be_disguised_with_escapes() -> None:
    assert shortened("did:web:evil.example%2Fstadtwerke.example") == "evil.example%2Fstadtwerke.example"
    assert shortened("did:web:evil.example%E2%80%AE") == "evil.example%E2%80%AE"


@given(st.text(max_size=300))
def test_nothing_is_longer_than_forty_characters(identifier: str) -> None:
    assert len(shortened(identifier)) <= 40


def test_a_sentence_keeps_the_full_value_of_what_it_shows_short() -> None:
    assert pieces_of(f"Nur {DIGEST} für did:web:lastwerk-ki.example.") == (
        Piece("Nur "),
        Piece("8a38dc0d…f01b86", DIGEST),
        Piece(" für "),
        Piece("lastwerk-ki.example", "did:web:lastwerk-ki.example"),
        Piece("."),
    )


@given(
    st.text(alphabet=st.one_of(st.characters(), st.sampled_from("abcdef0123456789:%/. ")), max_size=200).map(
        lambda text: f"{text} https://{text} did:web:{text} {DIGEST}{text}"
    )
)
def test_no_word_is_lost(text: str) -> None:
    assert "".join(piece.full or piece.text for piece in pieces_of(text)) == text
