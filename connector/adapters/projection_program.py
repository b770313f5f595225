"""A child process that reads one data file, and ends.

It reads a line of JSON from standard input, `{"source": path}` to have the file described
or `{"source", "columns", "target", "masks", "filters", "hash_key", "numbered"}` to have it
cut down, and writes a description, `{}` or `{"unreadable": sentence per language}` to standard output.
`connector.adapters.arrow_projections` starts it and stops it; should the connector die,
standard input ends, and so does this process.
"""

import json
import os
import sys
import threading
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from connector.queries.errors import DataUnreadableError
from policies.masks import Mask, MaskMethod
from policies.model import Operator
from policies.row_filters import RowFilter

_NOT_NEEDED: Final = ("numpy", "pyarrow._s3fs")
"""What Arrow loads just because it is installed: half of the start."""


def main() -> None:
    """Answer one request, and end."""
    request = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_connector, daemon=True).start()
    for name in _NOT_NEEDED:
        sys.modules[name] = None  # type: ignore[assignment]  # what Python documents for forbidding an import
    try:
        answer = _answer(request)
    except DataUnreadableError as problem:
        answer = {"unreadable": dict(problem.reason)}
    sys.stdout.write(json.dumps(answer))
    sys.stdout.flush()
    # Tearing down libraries takes time that nobody needs to wait for.
    os._exit(0)


def _answer(request: Mapping[str, Any]) -> dict[str, Any]:
    files = import_module("connector.adapters.arrow_files")
    source = Path(request["source"])
    if "target" not in request:
        described: dict[str, Any] = files.describe(source)
        return described
    masks = [Mask(**{**mask, "method": MaskMethod(mask["method"])}) for mask in request["masks"]]
    filters = [
        RowFilter(one["column"], Operator(one["operator"]), tuple(one["values"]))
        for one in request["filters"]
    ]
    hash_key = bytes.fromhex(request["hash_key"])
    cut = files.Cut(request["columns"], masks, filters, hash_key, request["numbered"])
    files.project(source, Path(request["target"]), cut)
    return {}


def _end_with_connector() -> None:
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


if __name__ == "__main__":
    main()
