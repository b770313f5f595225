"""Times of use: when a rule of an agreement was last used, and for how long computations ran under it.

Revision ID: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create their table."""
    op.create_table(
        "use_times",
        sa.Column("agreement_id", sa.String(), primary_key=True),
        sa.Column("rule", sa.String(), primary_key=True),
        sa.Column("last_used", sa.BigInteger()),
        sa.Column("metered", sa.BigInteger(), nullable=False),
    )
