"""Transfer process: its states, its messages and its table.

Source:
    Dataspace Protocol 2025-1, transfer process protocol.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from connector.protocol.machine import CONSUMER, EITHER, PROVIDER, Machine, Party, Transition
from schemas.strict_json import JsonObject


class TransferState(StrEnum):
    """The wire names of the states."""

    REQUESTED = "REQUESTED"
    STARTED = "STARTED"
    SUSPENDED = "SUSPENDED"
    COMPLETED = "COMPLETED"
    TERMINATED = "TERMINATED"


class TransferMessage(StrEnum):
    """What the parties say to each other."""

    REQUEST = "request"
    START = "start"
    SUSPENSION = "suspension"
    COMPLETION = "completion"
    TERMINATION = "termination"


_S = TransferState
_M = TransferMessage

TRANSFER = Machine(
    "transfer process",
    (
        Transition(None, _M.REQUEST, CONSUMER, _S.REQUESTED),
        Transition(_S.REQUESTED, _M.START, PROVIDER, _S.STARTED),
        Transition(_S.REQUESTED, _M.TERMINATION, EITHER, _S.TERMINATED),
        Transition(_S.STARTED, _M.START, PROVIDER, _S.STARTED),
        Transition(_S.STARTED, _M.COMPLETION, EITHER, _S.COMPLETED),
        Transition(_S.STARTED, _M.SUSPENSION, EITHER, _S.SUSPENDED),
        Transition(_S.STARTED, _M.TERMINATION, EITHER, _S.TERMINATED),
        Transition(_S.SUSPENDED, _M.START, EITHER, _S.STARTED),
        Transition(_S.SUSPENDED, _M.TERMINATION, EITHER, _S.TERMINATED),
    ),
    precedence={_M.TERMINATION: 3, _M.COMPLETION: 2, _M.SUSPENSION: 1},
)
"""STARTED to STARTED is a new data address: a consumer's own start after a suspension carries none."""

CLOSING = frozenset({_M.SUSPENSION, _M.COMPLETION, _M.TERMINATION})
"""What ends access, for a while or for good."""


class TransferFormat(StrEnum):
    """What a transfer process of ours gives access to, as named in a distribution."""

    QUERY = "AllmendeQuery-PULL"
    """Governed queries: SQL in, checked aggregates out."""
    COMPUTE = "AllmendeCompute-PULL"
    """Computations: an algorithm in, checked outputs out."""
    DOWNLOAD = "HttpData-PULL"
    """The data file as it is, fetched by the consumer; EDC's name for it."""
    PUSH = "HttpData-PUSH"
    """The data file as it is, sent to an address of the consumer's; EDC's name for it."""


RAW_FORMATS = frozenset({TransferFormat.DOWNLOAD, TransferFormat.PUSH})
"""Formats in which rows leave: only where the agreement permits to reproduce the data."""


@dataclass(frozen=True, slots=True)
class ReceivedData:
    """A data file that a provider has pushed to us.

    Attributes:
        name: What it is called among the received files.
        media_type: What the provider says it is.
        size: Bytes.
        sha256: Of the bytes, 64 lower-case hexadecimal digits.
        receipt: IRI of the provider's receipt, checked; None where it announced none.
    """

    name: str
    media_type: str
    size: int
    sha256: str
    receipt: str | None


@dataclass(frozen=True, slots=True)
class Download:
    """A download that has been counted as a use; later parts of the same file belong to it.

    Attributes:
        rule: IRI of the permission on whose account it stands.
        token_digest: SHA-256 of the access token that it began with.
        file_digest: SHA-256 of the file.
        released: Bytes released so far, repeated ones included.
    """

    rule: str
    token_digest: str
    file_digest: str
    released: int


@dataclass(frozen=True, slots=True)
class TransferProcess:
    """One party's record of a transfer process.

    Attributes:
        pid: Our identifier of it.
        role: The role that we play.
        peer: The counterparty's DID.
        peer_pid: Its identifier; None until it has told us.
        peer_address: Base address for our messages to it.
        agreement_id: IRI of the agreement that it rests on.
        transfer_format: What it gives access to.
        state: Last state that both parties know of.
        pending: Message that we have sent and that is not acknowledged yet.
        data_address: Where and how to access the data, compact DSP JSON; of a push, where they go.
        token_digest: SHA-256 of the access token that we gave: the provider to whoever
            pulls, the consumer to whoever pushes.
        reason: Why it was suspended or terminated.
        occurrences: How often each state has been reached.
        created: When it began.
        updated: When it last changed.
        pushed: Receipt of the data that a push has sent or begun to send; None before.
        received: What a push has brought us; None before.
        download: The download under way, as provider; None before the first.
    """

    pid: str
    role: Party
    peer: str
    peer_pid: str | None
    peer_address: str
    agreement_id: str
    transfer_format: str
    state: TransferState | None
    pending: TransferMessage | None
    data_address: JsonObject | None
    token_digest: str | None
    reason: str | None
    occurrences: dict[str, int]
    created: datetime
    updated: datetime
    pushed: str | None = None
    received: ReceivedData | None = None
    download: Download | None = None

    @property
    def pids(self) -> tuple[str, str]:
        """The providerPid and the consumerPid, as on the wire."""
        ours, theirs = self.pid, self.peer_pid or ""
        return (ours, theirs) if self.role is Party.PROVIDER else (theirs, ours)

    @property
    def is_started_push(self) -> bool:
        """Whether we have to send the data file to where the consumer wants it."""
        return (
            self.role is Party.PROVIDER
            and self.transfer_format == TransferFormat.PUSH
            and self.state is TransferState.STARTED
        )

    @property
    def takes_push(self) -> bool:
        """Whether the provider may send us the data file now.

        It may before its start message has arrived: only it knows the token,
        and EDC sends the data first.
        """
        return (
            self.role is Party.CONSUMER
            and self.transfer_format == TransferFormat.PUSH
            and self.state in {None, TransferState.REQUESTED, TransferState.STARTED}
            and self.pending not in CLOSING
            and self.received is None
        )

    @property
    def is_open(self) -> bool:
        """Whether the data plane may be used.

        For the provider that is so once it has sent a start: a consumer that
        shows the token has received it, even if its acknowledgement is still on
        the way. It is over as soon as it has said so: nobody keeps
        access by not answering.
        """
        if self.pending in CLOSING:
            return False
        sent = self.role is Party.PROVIDER and self.pending is TransferMessage.START
        return self.state is TransferState.STARTED or sent
