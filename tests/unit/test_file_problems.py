"""What the operating system objects to, for who named the file."""

import errno

import pytest

from connector.file_problems import cause_in_words


@pytest.mark.parametrize(
    ("number", "german"),
    [
        (errno.ENOENT, "Es gibt sie nicht."),
        (errno.EISDIR, "Das ist ein Verzeichnis."),
        (errno.EACCES, "Die Rechte fehlen."),
        (errno.ENOSPC, "Der Datenträger ist voll."),
    ],
)
def test_a_known_cause_is_said_in_both_languages(number: int, german: str) -> None:
    cause = cause_in_words(OSError(number, "in the words of the system"))
    assert cause["de"] == german
    assert "in the words" not in cause["en"]


def test_where_a_file_is_written_it_is_the_directory_that_is_missing() -> None:
    cause = cause_in_words(OSError(errno.ENOENT, "No such file or directory"), writing=True)
    assert cause["en"] == "Its directory does not exist."


def test_an_unknown_cause_is_quoted_and_marked_as_english() -> None:
    assert cause_in_words(OSError(errno.EIO, "Input/output error")) == {
        "de": "Ursache auf Englisch: Input/output error.",
        "en": "Input/output error.",
    }
    assert cause_in_words(OSError("broken"))["en"] == "broken."
