"""Epsilon: what was spent, for which questions, and the noisy answers.

Revision ID: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TEXT, NUMBER = sa.String(), sa.Float()


def upgrade() -> None:
    """Create their tables."""
    op.create_table(
        "epsilon_accounts",
        sa.Column("account", TEXT, primary_key=True),
        sa.Column("spent", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "epsilon_entries",
        sa.Column("identifier", TEXT, primary_key=True),
        sa.Column("dataset", TEXT, nullable=False, index=True),
        sa.Column("created", NUMBER, nullable=False),
        sa.Column("record", TEXT, nullable=False),
    )
    op.create_table(
        "noisy_answers",
        sa.Column("agreement_id", TEXT, primary_key=True),
        sa.Column("question", TEXT, primary_key=True),
        sa.Column("created", NUMBER, nullable=False),
        sa.Column("record", TEXT, nullable=False),
    )
