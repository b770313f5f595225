"""The errors of evidence: each carries one sentence that names its cause."""


class EvidenceError(Exception):
    """Something presented as evidence does not prove what it says."""


class DidError(EvidenceError):
    """A DID or a DID document is malformed, or not the one that was asked for."""


class ProofError(EvidenceError):
    """A signature is missing, unacceptable or wrong."""


class LedgerError(EvidenceError):
    """A ledger proof does not fit its tree head."""


class CanonicalisationError(EvidenceError):
    """A document has no RDF form that a signature could cover, or finding it took too long."""


class CredentialError(EvidenceError):
    """A credential, a presentation or a list of states is malformed, or not what it has to be."""
