"""The first tables.

Revision ID: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TEXT, NUMBER, BYTES = sa.String(), sa.Float(), sa.LargeBinary()


def upgrade() -> None:
    """Create them."""
    op.create_table(
        "datasets",
        sa.Column("identifier", TEXT, primary_key=True),
        sa.Column("created", NUMBER, nullable=False),
        sa.Column("record", TEXT, nullable=False),
    )
    for table in ("negotiations", "transfers"):
        op.create_table(
            table,
            sa.Column("pid", TEXT, primary_key=True),
            sa.Column("peer", TEXT, nullable=False, index=True),
            sa.Column("peer_pid", TEXT, index=True),
            *([sa.Column("token_digest", TEXT, index=True)] if table == "transfers" else []),
            sa.Column("state", TEXT),
            sa.Column("created", NUMBER, nullable=False),
            sa.Column("record", TEXT, nullable=False),
        )
    for table in ("agreements", "queries", "remote_datasets"):
        op.create_table(
            table,
            sa.Column("identifier", TEXT, primary_key=True),
            sa.Column("created", NUMBER, nullable=False),
            sa.Column("record", TEXT, nullable=False),
        )
    op.create_table(
        "computations",
        sa.Column("identifier", TEXT, primary_key=True),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("created", NUMBER, nullable=False),
        sa.Column("record", TEXT, nullable=False),
    )
    op.create_table(
        "outputs",
        sa.Column("computation", TEXT, primary_key=True),
        sa.Column("name", TEXT, primary_key=True),
        sa.Column("content", BYTES, nullable=False),
    )
    op.create_table(
        "inbox",
        sa.Column("peer", TEXT, primary_key=True),
        sa.Column("digest", TEXT, primary_key=True),
        sa.Column("received", NUMBER, nullable=False),
        sa.Column("record", TEXT, nullable=False),
    )
    op.create_table(
        "outbox",
        sa.Column("exchange", TEXT, primary_key=True),
        sa.Column("pid", TEXT, primary_key=True),
        sa.Column("not_before", NUMBER, nullable=False, index=True),
        sa.Column("record", TEXT, nullable=False),
    )
    op.create_table(
        "uses",
        sa.Column("agreement_id", TEXT, primary_key=True),
        sa.Column("rule", TEXT, primary_key=True),
        sa.Column("used", sa.Integer(), nullable=False),
    )
    op.create_table(
        "ledger",
        sa.Column("index", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("identifier", TEXT, nullable=False, index=True),
        sa.Column("dataset", TEXT, nullable=False, index=True),
        sa.Column("leaf_hash", BYTES, nullable=False),
        sa.Column("leaf", BYTES, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("agreement_id", TEXT, nullable=False),
        *[
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("raw_rows_out", "raw_bytes_out", "result_bytes_out")
        ],
        sa.Column("recorded", NUMBER, nullable=False),
    )
    op.create_table(
        "documents",
        sa.Column("identifier", TEXT, primary_key=True),
        sa.Column("content", BYTES, nullable=False),
    )
    op.create_table(
        "used_tokens",
        sa.Column("token", TEXT, primary_key=True),
        sa.Column("expires", NUMBER, nullable=False, index=True),
    )
