"""Canonical RDF from a child process, because some small graphs would keep a process busy for ever.

Source:
    RDF Dataset Canonicalization 1.0, section 7.1 (dataset poisoning).
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from connector.evidence.errors import CanonicalisationError
from schemas.strict_json import JsonObject

_PROGRAM: Final = "connector.adapters.canonicalise_program"
_MOST_BYTES: Final = 2_000_000
_START_SECONDS: Final = 10.0


class RdfCanonicaliser:
    """Writes documents as canonical RDF; implements `connector.evidence.proofs.RdfCanonicaliser`.

    It blocks until the child has ended: 0.3 seconds as a rule, a little more
    than `seconds` at most. The child gets the documents and nothing else: no
    environment, no network, no file to write.

    Args:
        contexts: Further contexts that the reader trusts, by their URLs.
        seconds: Processor time for all documents of one call.
        memory_bytes: Address space of the child.
    """

    def __init__(
        self,
        contexts: Mapping[str, Any] | None = None,
        *,
        seconds: int = 3,
        memory_bytes: int = 512 << 20,
    ) -> None:
        self._contexts = dict(contexts or {})
        self._seconds = seconds
        self._memory = memory_bytes

    def __call__(self, documents: Sequence[JsonObject], /) -> tuple[bytes, ...]:
        """Write documents as canonical N-Quads.

        Raises:
            CanonicalisationError: A document is refused, or it took too much time or memory.
        """
        request = json.dumps(
            {
                "documents": list(documents),
                "contexts": self._contexts,
                "memory_bytes": self._memory,
                "cpu_seconds": self._seconds,
            }
        ).encode()
        if len(request) > _MOST_BYTES:
            raise CanonicalisationError(
                f"The document is larger than {_MOST_BYTES:,} bytes.",
                f"Das Dokument hat mehr als {_MOST_BYTES:,} Bytes.",
            )
        return _forms(self._ask(request))

    def _ask(self, request: bytes) -> bytes:
        command = [sys.executable, "-I", "-m", _PROGRAM]
        try:
            done = subprocess.run(  # noqa: S603 - our own program, no shell
                command,
                input=request,
                capture_output=True,
                env={},
                cwd="/",
                timeout=self._seconds + _START_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise self._too_much() from None
        except OSError as problem:
            raise CanonicalisationError(
                f"The program that canonicalises RDF cannot be started: {problem.strerror}."
            ) from problem
        if done.returncode != 0:
            raise self._too_much()
        return done.stdout

    def _too_much(self) -> CanonicalisationError:
        return CanonicalisationError(
            f"Finding the document's canonical RDF was stopped: it needs more than {self._seconds} seconds "
            f"or {self._memory >> 20} MiB. Ask its issuer for a signature with eddsa-jcs-2022.",
            f"Die Suche nach dem kanonischen RDF des Dokuments wurde abgebrochen: Sie braucht mehr als "
            f"{self._seconds} Sekunden oder {self._memory >> 20} MiB. Bitten Sie den Aussteller um eine "
            "Unterschrift mit eddsa-jcs-2022.",
        )


def _forms(written: bytes) -> tuple[bytes, ...]:
    answer = json.loads(written)
    if "refused" in answer:
        raise CanonicalisationError(str(answer["refused"]))
    return tuple(str(form).encode() for form in answer["forms"])
