"""Credentials: those about us, those that partners have shown, and those that we have issued.

Revision ID: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create their tables."""
    for table, key in (("held_credentials", "identifier"), ("presentations", "partner")):
        op.create_table(
            table,
            sa.Column(key, sa.String(), primary_key=True),
            sa.Column("created", sa.Float(), nullable=False),
            sa.Column("record", sa.String(), nullable=False),
        )
    op.create_table(
        "issued_credentials",
        sa.Column("identifier", sa.String(), primary_key=True),
        sa.Column("place", sa.Integer(), nullable=False, unique=True),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("record", sa.String(), nullable=False),
    )
