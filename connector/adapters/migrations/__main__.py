"""Changes a database of an earlier version: `python -m connector.adapters.migrations`.

The database's address comes on standard input, where no other user can read its password.
"""

import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from connector.adapters.migrations import HEAD
from connector.adapters.sql_schema import cause_of, open_database


def main() -> None:
    """Make every change that is missing, in one transaction; a failure is said in one line."""
    try:
        _migrate(open_database(sys.stdin.read()))
    except (CommandError, SQLAlchemyError) as problem:
        sys.exit(cause_of(problem))


def _migrate(engine: Engine) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, HEAD)


if __name__ == "__main__":
    main()
