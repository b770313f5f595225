"""When a consumer takes a file that its provider pushes."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from connector.protocol.machine import Party
from connector.protocol.transfer import (
    ReceivedData,
    TransferFormat,
    TransferMessage,
    TransferProcess,
    TransferState,
)

NOW = datetime(2026, 11, 21, tzinfo=UTC)
PUSH = TransferProcess(
    pid="urn:uuid:1",
    role=Party.CONSUMER,
    peer="did:web:provider.example",
    peer_pid=None,
    peer_address="https://provider.example/dsp",
    agreement_id="urn:uuid:2",
    transfer_format=TransferFormat.PUSH,
    state=TransferState.STARTED,
    pending=None,
    data_address=None,
    token_digest="0" * 64,
    reason=None,
    occurrences={},
    created=NOW,
    updated=NOW,
)


@pytest.mark.parametrize(
    ("state", "takes"),
    [
        (None, True),
        (TransferState.REQUESTED, True),
        (TransferState.STARTED, True),
        (TransferState.SUSPENDED, False),
        (TransferState.COMPLETED, False),
        (TransferState.TERMINATED, False),
    ],
)
def test_it_does_until_the_transfer_is_suspended_or_over(state: TransferState | None, *, takes: bool) -> None:
    assert replace(PUSH, state=state).takes_push == takes


@pytest.mark.parametrize(
    ("pending", "takes"),
    [
        (TransferMessage.REQUEST, True),
        (TransferMessage.START, True),
        (TransferMessage.SUSPENSION, False),
        (TransferMessage.COMPLETION, False),
        (TransferMessage.TERMINATION, False),
    ],
)
def test_it_does_not_once_it_has_said_that_it_ends(pending: TransferMessage, *, takes: bool) -> None:
    assert replace(PUSH, pending=pending).takes_push == takes


def test_it_takes_one_file_and_only_as_the_consumer_of_a_push() -> None:
    received = ReceivedData("a.bin", "text/csv", 1, "0" * 64, None)
    assert not replace(PUSH, received=received).takes_push
    assert not replace(PUSH, role=Party.PROVIDER).takes_push
    assert not replace(PUSH, transfer_format=TransferFormat.DOWNLOAD).takes_push
