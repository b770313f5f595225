"""Reservations: uses that are counted and still to happen. The inbox can be searched for old answers.

Revision ID: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TEXT, NUMBER = sa.String(), sa.Float()


def upgrade() -> None:
    """Create their table, and the index."""
    op.create_table(
        "reservations",
        sa.Column("identifier", TEXT, primary_key=True),
        sa.Column("agreement_id", TEXT, nullable=False),
        sa.Column("rule", TEXT, nullable=False),
        sa.Column("created", NUMBER, nullable=False),
    )
    op.create_index("ix_inbox_received", "inbox", ["received"])
