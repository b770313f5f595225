"""Tree heads: signed states of our ledger, and of those of our partners.

Revision ID: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TEXT, NUMBER = sa.String(), sa.Float()


def upgrade() -> None:
    """Create their table."""
    op.create_table(
        "tree_heads",
        sa.Column("ledger", TEXT, primary_key=True),
        sa.Column("size", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("created", NUMBER, nullable=False),
        sa.Column("record", TEXT, nullable=False),
    )
