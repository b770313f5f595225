"""The tables of the participant's memory.

Each record is one row: columns for what is looked up, and the whole record as
JSON, readable without this software. Rows never leave the store.

Source:
    docs/adr/0004-one-store.md
"""

from sqlalchemy import BigInteger, LargeBinary
from sqlmodel import Column, Field, SQLModel


class DatasetRow(SQLModel, table=True):
    """An offered dataset."""

    __tablename__ = "datasets"
    identifier: str = Field(primary_key=True)
    created: float
    record: str


class KeptPolicyRow(SQLModel, table=True):
    """A policy that others may take over the rules of."""

    __tablename__ = "kept_policies"
    identifier: str = Field(primary_key=True)
    created: float
    record: str


class NegotiationRow(SQLModel, table=True):
    """A contract negotiation."""

    __tablename__ = "negotiations"
    pid: str = Field(primary_key=True)
    peer: str = Field(index=True)
    peer_pid: str | None = Field(default=None, index=True)
    state: str | None
    created: float
    record: str


class AgreementRow(SQLModel, table=True):
    """An agreement with its evidence."""

    __tablename__ = "agreements"
    identifier: str = Field(primary_key=True)
    created: float
    record: str


class TransferRow(SQLModel, table=True):
    """A transfer process."""

    __tablename__ = "transfers"
    pid: str = Field(primary_key=True)
    peer: str = Field(index=True)
    peer_pid: str | None = Field(default=None, index=True)
    token_digest: str | None = Field(default=None, index=True)
    state: str | None
    created: float
    record: str


class ComputationRow(SQLModel, table=True):
    """A computation."""

    __tablename__ = "computations"
    identifier: str = Field(primary_key=True)
    state: str
    created: float
    record: str


class OutputRow(SQLModel, table=True):
    """The content of a checked output."""

    __tablename__ = "outputs"
    computation: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    content: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class AnswerRow(SQLModel, table=True):
    """The inbox: messages already taken, with the answers given."""

    __tablename__ = "inbox"
    peer: str = Field(primary_key=True)
    digest: str = Field(primary_key=True)
    received: float = Field(index=True)
    record: str


class OutboundRow(SQLModel, table=True):
    """The outbox: at most one undelivered message per exchange."""

    __tablename__ = "outbox"
    exchange: str = Field(primary_key=True)
    pid: str = Field(primary_key=True)
    not_before: float = Field(index=True)
    record: str


class UseRow(SQLModel, table=True):
    """Uses counted under one rule of an agreement, reserved ones included."""

    __tablename__ = "uses"
    agreement_id: str = Field(primary_key=True)
    rule: str = Field(primary_key=True)
    used: int


class UseTimeRow(SQLModel, table=True):
    """When a rule of an agreement was last used (since 1970), and for how long; in microseconds."""

    __tablename__ = "use_times"
    agreement_id: str = Field(primary_key=True)
    rule: str = Field(primary_key=True)
    last_used: int | None = Field(default=None, sa_type=BigInteger)
    metered: int = Field(sa_type=BigInteger)


class ReservationRow(SQLModel, table=True):
    """Counted uses that are still to happen: neither released nor given back."""

    __tablename__ = "reservations"
    identifier: str = Field(primary_key=True)
    agreement_id: str
    rule: str
    created: float


class EpsilonRow(SQLModel, table=True):
    """Epsilon spent from one account, reserved epsilon included, in billionths."""

    __tablename__ = "epsilon_accounts"
    account: str = Field(primary_key=True)
    spent: int = Field(sa_type=BigInteger)


class EpsilonEntryRow(SQLModel, table=True):
    """What was spent for which question: append-only."""

    __tablename__ = "epsilon_entries"
    identifier: str = Field(primary_key=True)
    dataset: str = Field(index=True)
    created: float
    record: str


class NoisyAnswerRow(SQLModel, table=True):
    """Noisy answers: the same question gets the same one."""

    __tablename__ = "noisy_answers"
    agreement_id: str = Field(primary_key=True)
    question: str = Field(primary_key=True)
    created: float
    record: str


class LedgerRow(SQLModel, table=True):
    """The ledger: append-only."""

    __tablename__ = "ledger"
    index: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    identifier: str = Field(index=True)
    dataset: str = Field(index=True)
    leaf_hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    leaf: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    kind: str
    agreement_id: str
    raw_rows_out: int = Field(sa_type=BigInteger)
    raw_bytes_out: int = Field(sa_type=BigInteger)
    result_bytes_out: int = Field(sa_type=BigInteger)
    recorded: float


class DocumentRow(SQLModel, table=True):
    """Evidence files, byte for byte."""

    __tablename__ = "documents"
    identifier: str = Field(primary_key=True)
    content: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class TreeHeadRow(SQLModel, table=True):
    """Signed states of our ledger, and of those of our partners."""

    __tablename__ = "tree_heads"
    ledger: str = Field(primary_key=True)
    size: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    created: float
    record: str


class QueryRow(SQLModel, table=True):
    """A federated query that this participant has asked."""

    __tablename__ = "queries"
    identifier: str = Field(primary_key=True)
    created: float
    record: str


class RemoteDatasetRow(SQLModel, table=True):
    """A dataset in another participant's catalog, as last read."""

    __tablename__ = "remote_datasets"
    identifier: str = Field(primary_key=True)
    created: float
    record: str


class HeldCredentialRow(SQLModel, table=True):
    """A credential about this participant."""

    __tablename__ = "held_credentials"
    identifier: str = Field(primary_key=True)
    created: float
    record: str


class PresentationRow(SQLModel, table=True):
    """What a partner has shown of its credentials the last time."""

    __tablename__ = "presentations"
    partner: str = Field(primary_key=True)
    created: float
    record: str


class IssuedCredentialRow(SQLModel, table=True):
    """A credential that this participant has issued; no two have the same place in the list of states."""

    __tablename__ = "issued_credentials"
    identifier: str = Field(primary_key=True)
    place: int = Field(unique=True)
    created: float
    record: str


class TokenRow(SQLModel, table=True):
    """Tokens that counterparties have used: each counts once."""

    __tablename__ = "used_tokens"
    token: str = Field(primary_key=True)
    expires: float = Field(index=True)
