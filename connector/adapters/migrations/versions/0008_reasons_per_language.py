"""Reasons of ended negotiations: one text per language. Those that were kept had one for all.

Revision ID: 0008
"""

import json

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_NEGOTIATIONS = sa.table("negotiations", sa.column("pid", sa.String()), sa.column("record", sa.String()))


def upgrade() -> None:
    """Write every reason that is a text once per language."""
    connection = op.get_bind()
    for pid, text in connection.execute(sa.select(_NEGOTIATIONS.c.pid, _NEGOTIATIONS.c.record)).fetchall():
        record = json.loads(text)
        if isinstance(record.get("reason"), str):
            record["reason"] = {"de": record["reason"], "en": record["reason"]}
            changed = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
            connection.execute(
                sa.update(_NEGOTIATIONS).where(_NEGOTIATIONS.c.pid == pid).values(record=changed)
            )
