"""The errors of the shared vocabulary; none knows how it was transported."""

from collections.abc import Mapping
from typing import ClassVar, Final

_SHOWN: Final = 200


def in_english(cause: object) -> str:
    """A cause that nobody wrote in German, to be put into a German sentence."""
    return f"(Ursache auf Englisch: {str(cause).rstrip('.')})"


class WordedError(Exception):
    """An error whose sentence a user reads in German or in English.

    Where only the English one was written, such as a cause that another program
    or a malformed document gives, the German one says what kind of problem it
    is and quotes the English one.

    Attributes:
        german: What kind of problem it is, to begin such a German sentence with.
        reason: The sentence, per language.
    """

    german: ClassVar[str] = "Es geht nicht"

    def __init__(self, english: str, german: str | None = None) -> None:
        super().__init__(english)
        self.reason: Mapping[str, str] = {
            "de": f"{self.german} {in_english(english)}." if german is None else german,
            "en": english,
        }


class SchemaError(Exception):
    """Something received or about to be sent does not have the agreed form."""


class MalformedJsonError(SchemaError):
    """A text is not the one JSON value that every reader understands alike.

    Attributes:
        reason: What is wrong, as a sentence without its full stop.
        path: Where in the document, if that is known.
    """

    def __init__(self, reason: str, path: str | None = None) -> None:
        super().__init__(f"{reason}." if path is None else f"{path}: {reason}.")
        self.reason = reason
        self.path = path


class InvalidMessageError(SchemaError):
    """A JSON document is not the DSP message that it should be.

    Attributes:
        path: JSON path of the offending place, such as `$.offer.permission[0].action`.
        rule: The rule that failed, as the end of a sentence that starts with the path.
    """

    def __init__(self, path: str, rule: str) -> None:
        super().__init__(f"{path} {rule}.")
        self.path = path
        self.rule = rule


class JsonLdError(SchemaError):
    """A document's JSON-LD is refused or cannot be processed."""


class UnknownContextError(JsonLdError):
    """A document names a JSON-LD context that this software does not bring along.

    Attributes:
        url: The context as named.
    """

    def __init__(self, url: str) -> None:
        super().__init__(
            f"The JSON-LD context {url[:_SHOWN]!r} is unknown here, and contexts are never fetched;"
            " name known contexts only."
        )
        self.url = url
