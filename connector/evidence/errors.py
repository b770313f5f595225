"""The errors of evidence: each carries one sentence that names its cause, in German and English."""

from schemas.errors import WordedError


class EvidenceError(WordedError):
    """Something presented as evidence does not prove what it says."""

    german = "Etwas hat nicht die Form, in der wir es schreiben"


class DidError(EvidenceError):
    """A DID or a DID document is malformed, or not the one that was asked for."""

    german = "Ein DID-Dokument kann nicht benutzt werden"


class ProofError(EvidenceError):
    """A signature is missing, unacceptable or wrong."""

    german = "Eine Unterschrift ist nicht in Ordnung"


class LedgerError(EvidenceError):
    """A ledger proof does not fit its tree head."""

    german = "Ein Nachweis über das Protokoll stimmt nicht"


class CanonicalisationError(EvidenceError):
    """A document has no RDF form that a signature could cover, or finding it took too long."""

    german = "Zu einem Dokument lässt sich keine RDF-Form bestimmen, die eine Unterschrift abdecken könnte"


class CredentialError(EvidenceError):
    """A credential, a presentation or a list of states is malformed, or not what it has to be."""

    german = "Ein Nachweis über einen Partner oder eine Liste dazu lässt sich nicht verwenden"
