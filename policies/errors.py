"""What can be wrong with a policy."""

from policies.model import LanguageMap
from schemas.errors import WordedError


class PolicyError(WordedError):
    """Something is wrong with a policy or with what it is applied to."""

    german = "Mit dem Vertrag oder mit dem, wofür er gilt, stimmt etwas nicht"


class PolicyRefusedError(PolicyError):
    """A policy holds a term that is unknown, malformed or cannot be enforced.

    Attributes:
        term: The term that is refused, as it is written or as an absolute IRI.
        reason: Why, as a whole sentence that names the term, in German and English.
    """

    def __init__(self, term: str, reason: LanguageMap) -> None:
        super().__init__(reason["en"])
        self.term = term
        self.reason = reason


class PolicyTooLargeError(PolicyRefusedError):
    """A policy is larger than a reader takes; nothing more of it is read."""
