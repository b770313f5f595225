"""A child process that writes JSON-LD documents as canonical RDF, and ends.

It reads `{"documents": […], "contexts": {…}, "memory_bytes": n, "cpu_seconds": n}`
from standard input and writes `{"forms": […]}` or `{"refused": "sentence"}`.
`connector.adapters.rdf_canonicaliser` starts it and stops it.
"""

import json
import resource
import sys
from typing import Any, Final

from schemas.canonical_rdf import canonical_rdf
from schemas.errors import SchemaError

_FORBIDDEN: Final = ("socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.system", "ctypes.")
_OPEN_FILES: Final = 32


def main() -> int:
    """Answer one request within its limits."""
    request = json.load(sys.stdin.buffer)
    _confine(request["memory_bytes"], request["cpu_seconds"])
    answer: dict[str, Any]
    try:
        forms = [canonical_rdf(document, request["contexts"]) for document in request["documents"]]
        answer = {"forms": [form.decode() for form in forms]}
    except SchemaError as refusal:
        answer = {"refused": str(refusal)}
    except MemoryError:
        answer = {"refused": "The document needs more memory than is allowed."}
    json.dump(answer, sys.stdout)
    return 0


def _confine(memory_bytes: int, cpu_seconds: int) -> None:
    for limit, value in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
    ):
        resource.setrlimit(limit, (value, value))
    sys.addaudithook(_refuse_outside)


def _refuse_outside(event: str, _: object) -> None:
    """Only data is foreign here, no code; should a library try to reach out all the same, it fails."""
    if event.startswith(_FORBIDDEN):
        raise PermissionError(event)


if __name__ == "__main__":
    sys.exit(main())
