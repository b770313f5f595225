"""Opening: the consumer's way to a provider's data plane, through a transfer process."""

from dataclasses import dataclass
from datetime import timedelta

from connector.ports import Changes, Store
from connector.protocol.transfer import TransferFormat, TransferProcess, TransferState
from connector.services.exchanging import RequestRefusedError
from connector.services.transferring import Transferring
from connector.services.waiting import settled
from schemas.messages import DataAddress, parse_message

_PATIENCE = timedelta(seconds=30)
_OVER = frozenset({TransferState.TERMINATED, TransferState.COMPLETED})


@dataclass(frozen=True, slots=True)
class OpenedEndpoint:
    """A data plane that we may call.

    Attributes:
        url: Its base address.
        token: What identifies the transfer process there.
        transfer_pid: Our pid of the transfer process.
    """

    url: str
    token: str
    transfer_pid: str


class Opening:
    """Finds or starts the transfer process of an agreement.

    Args:
        store: Where transfer processes are kept.
        transferring: Requests them.
        changes: Tells when one has moved.
    """

    def __init__(self, store: Store, transferring: Transferring, changes: Changes) -> None:
        self._store = store
        self._transferring = transferring
        self._changes = changes

    async def endpoint(self, agreement_id: str, transfer_format: TransferFormat) -> OpenedEndpoint:
        """The data plane of an agreement, ready to be called.

        Raises:
            UnknownExchangeError: We hold no such agreement as a consumer.
            RequestRefusedError: The provider refused, or did not start in time.
        """
        pid = await self._transferring.request(agreement_id, transfer_format)
        return _endpoint(await self.started(pid))

    async def started(self, pid: str) -> TransferProcess:
        """A transfer process once we have access, which can take a moment after a start without an address.

        Raises:
            RequestRefusedError: The provider refused, or did not start in time.
        """
        record = await settled(
            self._changes,
            pid,
            lambda: self._store.transact(lambda tx: tx.transfer(pid)),
            _is_decided,
            _PATIENCE,
        )
        if record is not None and record.state is TransferState.STARTED:
            return record
        if record is None or record.state in _OVER:
            reason = record.reason if record else None
            raise RequestRefusedError(f"The provider gave no access: {reason or 'no reason given'}.")
        raise RequestRefusedError("The provider did not start the transfer in time; try again.")


def _is_decided(record: TransferProcess | None) -> bool:
    opened = record is not None and record.state is TransferState.STARTED and record.data_address is not None
    return opened or record is None or record.state in _OVER


def _endpoint(record: TransferProcess) -> OpenedEndpoint:
    if record.data_address is None:
        raise RequestRefusedError("The provider started the transfer without saying where the data plane is.")
    address = parse_message(record.data_address, DataAddress)
    url, token = address.value_of("endpoint"), address.value_of("authorization")
    if url is None or token is None:
        raise RequestRefusedError("The provider's data address names no endpoint, or no token.")
    return OpenedEndpoint(url.rstrip("/"), token, record.pid)
