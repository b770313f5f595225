"""Computing, the provider's half: permitted algorithms run in the sandbox, only checked outputs leave.

Source:
    docs/adr/0005-computations.md
"""

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from connector.evidence.receipts import ReleasedOutput
from connector.ports import (
    Changes,
    Clock,
    ComputeBackend,
    ConsentRegisters,
    Credentials,
    Identifiers,
    Projections,
    Store,
    Transaction,
)
from connector.protocol.computation import (
    COMPUTATION,
    Computation,
    ComputationEvent,
    ComputationState,
    Output,
)
from connector.protocol.jobs import (
    ComputationOutcome,
    Job,
    JobLimits,
    JobRefusedError,
    algorithm_digest,
    check_job,
)
from connector.protocol.machine import Party
from connector.protocol.transfer import TransferFormat
from connector.queries.errors import DATA_UNREADABLE, DataUnreadableError
from connector.queries.permitted import redaction_under
from connector.services.accessing import (
    Access,
    AccessDeniedError,
    UseRefusedError,
    access_of,
    agreement_behind,
    open_access,
    permitted,
    reserve,
    reserve_time,
    take_back,
)
from connector.services.consenting import consent_filters
from connector.services.deciding import Deciding, permitted_under, refused_under
from connector.services.exchanging import RequestRefusedError, UnknownExchangeError
from connector.services.receipting import Leaving, release_of
from connector.services.releasing import record_release
from policies.circumstances import NOTHING_STATED, Circumstances
from policies.evaluation import Where
from policies.model import LanguageMap
from policies.outputs import CheckedOutputs, OutputRefusedError, check_outputs
from policies.restrictions import (
    ComputationRestrictions,
    as_data,
    computation_restrictions,
    permitted_names,
)
from policies.row_filters import RowFilterError
from schemas.strict_json import JsonObject
from schemas.vocabulary import POLICY

COMPUTE_ACTION = POLICY + "compute"
log = logging.getLogger("allmende.computing")
_FINAL = frozenset({ComputationState.RELEASED, ComputationState.TERMINATED})
_WAITING = frozenset({ComputationState.REQUESTED, ComputationState.APPROVED, ComputationState.REVIEWED})
_LONGEST_SAID = 4_000
_LONGEST_RUN = timedelta(seconds=JobLimits().wall_seconds)


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What a consumer asks to be computed.

    Attributes:
        identifier: IRI of the computation, the consumer's choice.
        files: The algorithm: path to text.
        parameters: What the algorithm is told.
        declared: Declared outputs: file name to kind.
        purpose: What for; None for the purpose declared in the negotiation.
    """

    identifier: str
    files: Mapping[str, str]
    parameters: JsonObject
    declared: Mapping[str, str]
    purpose: str | None


class Computing:
    """Runs other participants' algorithms under their agreements.

    Args:
        store: Where computations, uses and the ledger are kept.
        clock: Tells the time.
        identifiers: Names receipts.
        credentials: Who signs receipts.
        projections: Cuts data down to what is permitted.
        consents: Reads registers of consents.
        backend: The sandbox.
        changes: Tells who waits.
        deciding: Writes decisions into the ledger.
        circumstances: What we state about ourselves, the calendar and our partners.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        identifiers: Identifiers,
        credentials: Credentials,
        projections: Projections,
        consents: ConsentRegisters,
        backend: ComputeBackend,
        changes: Changes,
        deciding: Deciding,
        circumstances: Circumstances = NOTHING_STATED,
    ) -> None:
        self._store = store
        self._clock = clock
        self._identifiers = identifiers
        self._credentials = credentials
        self._projections = projections
        self._consents = consents
        self._backend = backend
        self._circumstances = circumstances
        self._changes = changes
        self._deciding = deciding
        self._under_way: set[str] = set()

    # what the consumer asks for

    async def submit(self, token: str, request: JobRequest) -> Computation:
        """Take a computation, if the agreement permits it.

        Raises:
            AccessDeniedError: The token opens nothing.
            UseRefusedError: The agreement does not permit this algorithm, purpose or output.
            JobRefusedError: The algorithm's files break a rule.
            TooManyRefusalsError: It is refused, like too many before it.
        """
        now = self._clock.now()
        check_job(_job(request, Path(), "input.arrow"))

        def work(tx: Transaction) -> Computation:
            access = open_access(tx, token, TransferFormat.COMPUTE)
            known = tx.computation(request.identifier)
            if known is not None:
                return _same(known, access)
            record = self._approve(tx, access, request, now)
            tx.save_computation(record)
            return record

        try:
            record = await self._store.transact(work)
        except UseRefusedError as refusal:
            await self._turn_away(token, request, refusal.reason)
            raise
        self._changes.notify()
        return record

    async def _turn_away(self, token: str, request: JobRequest, reason: LanguageMap) -> None:
        """Note a refusal; the same computation may be sent again, and is noted once."""
        algorithm = algorithm_digest(request.files)
        asked = f"{request.identifier} {algorithm} {reason['en']}"

        def work(tx: Transaction) -> None:
            agreement = agreement_behind(tx, token)
            if agreement is not None:
                refused = refused_under(
                    agreement,
                    reason,
                    action=COMPUTE_ACTION,
                    purpose=request.purpose,
                    request_digest=algorithm,
                    repeatable=hashlib.sha256(asked.encode()).hexdigest(),
                )
                self._deciding.tell(tx, refused)

        await self._store.transact(work)

    async def shown(self, token: str, identifier: str) -> Computation:
        """The state of a computation.

        Raises:
            AccessDeniedError: The token opens no such computation.
        """
        return await self._store.transact(lambda tx: _visible(tx, token, identifier))

    async def output(self, token: str, identifier: str, name: str) -> tuple[Output, bytes]:
        """A released output; there is no way to any other.

        Raises:
            AccessDeniedError: The token opens no such computation, or it is not released.
        """

        def work(tx: Transaction) -> tuple[Output, bytes]:
            record = _visible(tx, token, identifier)
            output = next((output for output in record.outputs if output.name == name), None)
            content = tx.output(identifier, name)
            if record.state is not ComputationState.RELEASED or output is None or content is None:
                raise AccessDeniedError("There is no such released output.")
            return output, content

        return await self._store.transact(work)

    # what the worker does

    async def run_waiting(self) -> None:
        """Run every approved computation, also those that a crash has interrupted; one at a time each."""
        records = await self._store.transact(lambda tx: tx.computations())
        waiting = [
            record
            for record in records
            if record.role is Party.PROVIDER
            and record.state in {ComputationState.APPROVED, ComputationState.RUNNING}
            and record.identifier not in self._under_way
        ]
        # Claimed before anything is awaited: another round must not run the same one a second time.
        self._under_way.update(record.identifier for record in waiting)
        await asyncio.gather(*(self._run(record.identifier) for record in waiting))

    async def _run(self, identifier: str) -> None:
        try:
            record, access = await self._store.transact(lambda tx: self._start(tx, identifier))
            if access is not None:
                await self._compute(record, access)
        finally:
            self._under_way.discard(identifier)
            self._changes.notify()

    def _start(self, tx: Transaction, identifier: str) -> tuple[Computation, Access | None]:
        now = self._clock.now()
        record = tx.computation(identifier)
        if record is None:
            raise UnknownExchangeError(identifier)
        if record.state in _FINAL:
            return record, None
        try:
            access = _access(tx, record)
        except (AccessDeniedError, UseRefusedError) as denial:
            lost: LanguageMap = {"de": "Der Zugang besteht nicht mehr.", "en": str(denial)}
            reason = denial.reason if isinstance(denial, UseRefusedError) else lost
            ended = self._refuse(tx, record, reason, now)
            return ended, None
        record = _moved(record, ComputationEvent.START, now)
        record = replace(record, started=record.started or now, tier=self._backend.tier)
        tx.save_computation(record)
        return record, access

    async def _compute(self, record: Computation, access: Access) -> None:
        try:
            outcome = await self._execute(record, access)
        except DataUnreadableError:
            await self._fail(record, DATA_UNREADABLE, refund=True)
            return
        except JobRefusedError as refusal:
            await self._fail(record, refusal.reason, refund=True)
            return
        except Exception:
            # Ended, not left running: the next round would only meet the same fault again.
            log.exception("a computation could not be run")
            await self._fail(record, _FAULT, refund=True)
            return
        ran = timedelta(seconds=outcome.wall_seconds)
        record = replace(record, said=outcome.stderr[-_LONGEST_SAID:].decode(errors="replace"))
        reason = _failure(outcome)
        if reason is not None:
            await self._fail(record, reason, refund=False, ran=ran)
            return
        restrictions = self._restrictions(access, record)
        try:
            checked = check_outputs(
                {output.name: output.content for output in outcome.outputs},
                allowed_kinds=restrictions.output_kinds,
                declared=record.declared,
            )
        except OutputRefusedError as refusal:
            await self._fail(record, refusal.reason, refund=False, refused=True, ran=ran)
            return
        await self._review(record, restrictions, checked, ran)

    async def _execute(self, record: Computation, access: Access) -> ComputationOutcome:
        published = access.published
        restrictions = self._restrictions(access, record)
        columns = permitted_names(restrictions, [column.name for column in published.dataset.columns])
        consented = await consent_filters(
            self._consents, published.consents, restrictions.consents, record.purpose, self._clock.now()
        )
        try:
            redaction = redaction_under(restrictions, published.row_filters, record.agreement_id, consented)
        except RowFilterError as problem:
            raise DataUnreadableError(str(problem), problem.reason["de"]) from problem
        projection = await self._projections.materialise(
            published.source, columns, published.dataset.digest, redaction
        )
        request = JobRequest(
            record.identifier, record.files, record.parameters, record.declared, record.purpose
        )
        job = _job(request, projection, f"{published.dataset.table}.arrow")
        return await self._backend.run(job if record.granted is None else _within(job, record.granted))

    async def _review(
        self,
        record: Computation,
        restrictions: ComputationRestrictions,
        checked: CheckedOutputs,
        ran: timedelta,
    ) -> None:
        """Keep the checked outputs; they leave at once, or after a person has looked at them."""
        now = self._clock.now()
        outputs = tuple(
            Output(
                name=output.name,
                kind=output.kind,
                media_type=output.media_type,
                sha256=hashlib.sha256(output.content).hexdigest(),
                size=len(output.content),
                checks=output.checks,
            )
            for output in checked.released
        )

        def work(tx: Transaction) -> None:
            _settle(tx, record, ran)
            for output in checked.released:
                tx.save_output(record.identifier, output.name, output.content)
            reviewed = replace(_moved(record, ComputationEvent.REVIEW, now), outputs=outputs)
            if restrictions.review == "auto":
                self._release(tx, reviewed)
            else:
                tx.save_computation(
                    replace(reviewed, held="The agreement asks for a person to release outputs.")
                )

        await self._store.transact(work)

    async def _fail(
        self,
        record: Computation,
        reason: LanguageMap,
        *,
        refund: bool,
        refused: bool = False,
        ran: timedelta = timedelta(0),
    ) -> None:
        now = self._clock.now()

        def work(tx: Transaction) -> None:
            if refund and record.reservation is not None:
                take_back(tx, record.agreement_id, record.reservation, record.created)
            _settle(tx, record, timedelta(0) if refund else ran)
            if refused:
                self._refuse(tx, record, reason, now)
            else:
                tx.save_computation(self._end(record, reason, now))

        await self._store.transact(work)

    # what the steward decides

    async def release(self, identifier: str) -> None:
        """Release the outputs of a computation that waits for a person.

        Raises:
            UnknownExchangeError: There is no such computation.
            RequestRefusedError: It does not wait, or the agreement has ended meanwhile.
        """

        def work(tx: Transaction) -> None:
            self._release(tx, replace(_held(tx, identifier), held=None))

        await self._store.transact(work)
        self._changes.notify()

    async def refuse(self, identifier: str, reason: str) -> None:
        """Keep the outputs of a computation that waits for a person, and tell the consumer why.

        Raises:
            UnknownExchangeError: There is no such computation.
            RequestRefusedError: It does not wait.
        """
        now = self._clock.now()

        def work(tx: Transaction) -> None:
            record = replace(_held(tx, identifier), held=None)
            self._refuse(tx, record, {"de": reason, "en": reason}, now)

        await self._store.transact(work)
        self._changes.notify()

    def end_all(self, tx: Transaction, agreement_id: str, reason: LanguageMap, now: datetime) -> None:
        """End the computations under an agreement that has ended; one that runs is not released later."""
        for record in tx.computations():
            waits = record.state in _WAITING and record.role is Party.PROVIDER
            if waits and record.agreement_id == agreement_id:
                tx.save_computation(self._end(replace(record, held=None), reason, now))

    # the parts

    def _approve(self, tx: Transaction, access: Access, request: JobRequest, now: datetime) -> Computation:
        algorithm = algorithm_digest(request.files)
        permission = permitted(
            access,
            action=COMPUTE_ACTION,
            purpose=request.purpose,
            now=now,
            algorithm=algorithm,
            circumstances=self._circumstances,
        )
        _require_kinds(request.declared, computation_restrictions(permission))
        reserve(tx, access, permission, now)
        granted = reserve_time(tx, access, permission, _LONGEST_RUN)
        record = Computation(
            identifier=request.identifier,
            role=Party.PROVIDER,
            peer=access.agreement.consumer,
            agreement_id=access.agreement.identifier,
            transfer_pid=access.transfer.pid,
            dataset=access.agreement.dataset,
            purpose=request.purpose or access.purpose,
            files=dict(request.files),
            algorithm_digest=algorithm,
            parameters=request.parameters,
            declared=dict(request.declared),
            state=ComputationState.REQUESTED,
            reservation=permission.identifier,
            held=None,
            reason=None,
            outputs=(),
            receipt=None,
            tier=self._backend.tier,
            said="",
            created=now,
            started=None,
            updated=now,
            granted=granted,
        )
        begins = permitted_under(
            access.agreement,
            permission.identifier,
            action=COMPUTE_ACTION,
            purpose=record.purpose,
            request_digest=algorithm,
        )
        self._deciding.permit(tx, begins)
        return _moved(record, ComputationEvent.APPROVAL, now)

    def _restrictions(self, access: Access, record: Computation) -> ComputationRestrictions:
        permission = next(rule for rule in access.policy.permissions if rule.identifier == record.reservation)
        return computation_restrictions(permission)

    def _release(self, tx: Transaction, record: Computation) -> None:
        """Let the outputs leave, if the agreement still permits it: jobs can outlive agreements.

        Raises:
            RequestRefusedError: It no longer does.
        """
        now = self._clock.now()
        try:
            access = _access(tx, record)
            permitted(
                access,
                action=COMPUTE_ACTION,
                purpose=record.purpose,
                now=now,
                algorithm=record.algorithm_digest,
                at=Where.RELEASE,
                circumstances=self._circumstances,
            )
        except (AccessDeniedError, UseRefusedError) as refusal:
            reason = refusal.reason if isinstance(refusal, UseRefusedError) else _both(str(refusal))
            self._refuse(tx, record, reason, now)
            return
        release = release_of(
            tx,
            self._credentials,
            access,
            self._leaving(access, record),
            identifier=self._identifiers.new(),
            ended=now,
        )
        record_release(tx, self._credentials, release)
        released = _moved(record, ComputationEvent.RELEASE, now)
        tx.save_computation(replace(released, receipt=release.identifier))

    def _leaving(self, access: Access, record: Computation) -> Leaving:
        restrictions = self._restrictions(access, record)
        rule = record.reservation or ""
        after = access.uses[rule]
        raw = [output for output in record.outputs if output.kind not in restrictions.output_kinds]
        return Leaving(
            kind="computation",
            action=COMPUTE_ACTION,
            rule=rule,
            purpose=record.purpose,
            request_digest=record.algorithm_digest,
            restrictions=as_data(restrictions),
            started=record.started or record.created,
            uses=(after - 1, after),
            tier=record.tier,
            outputs=tuple(
                ReleasedOutput(
                    name=output.name,
                    kind=output.kind,
                    media_type=output.media_type,
                    size=output.size,
                    sha256=output.sha256,
                    checks=output.checks,
                )
                for output in record.outputs
            ),
            raw_rows=0 if not raw else access.published.dataset.rows,
            raw_bytes=sum(output.size for output in raw),
        )

    def _refuse(
        self, tx: Transaction, record: Computation, reason: LanguageMap, now: datetime
    ) -> Computation:
        """End a computation because something is not permitted; that is an entry of the ledger."""
        ended = self._end(record, reason, now)
        tx.save_computation(ended)
        agreement = tx.agreement(record.agreement_id)
        if agreement is not None:
            refused = refused_under(
                agreement,
                reason,
                action=COMPUTE_ACTION,
                purpose=record.purpose,
                request_digest=record.algorithm_digest,
            )
            self._deciding.write(tx, refused, account=agreement.identifier)
        return ended

    def _end(self, record: Computation, reason: LanguageMap, now: datetime) -> Computation:
        return replace(_moved(record, ComputationEvent.TERMINATION, now), reason=dict(reason), outputs=())


_FAULT: LanguageMap = {
    "de": "Beim Anbieter ist ein Fehler aufgetreten. Die Nutzung wurde nicht gezählt.",
    "en": "Something failed at the provider. The use was not counted.",
}


def _both(sentence: str) -> LanguageMap:
    return {"de": sentence, "en": sentence}


def _job(request: JobRequest, projection: Path, input_name: str) -> Job:
    return Job(
        computation_id=request.identifier,
        files=request.files,
        parameters=request.parameters,
        projection=projection,
        input_name=input_name,
    )


def _within(job: Job, granted: timedelta) -> Job:
    """A job that is stopped when the time that was reserved for it is over."""
    return replace(job, limits=replace(job.limits, wall_seconds=granted.total_seconds()))


def _settle(tx: Transaction, record: Computation, ran: timedelta) -> None:
    """Return the time that was reserved for a computation and not needed."""
    if record.granted is not None and record.reservation is not None:
        rest = max(record.granted - ran, timedelta(0))
        tx.return_time(record.agreement_id, record.reservation, rest)


def _moved(record: Computation, event: ComputationEvent, now: datetime) -> Computation:
    """A computation after an event of its table.

    Raises:
        RequestRefusedError: The table does not allow it.
    """
    sender = Party.CONSUMER if event is ComputationEvent.REQUEST else Party.PROVIDER
    target = COMPUTATION.target(record.state, event, sender)
    if target is None:
        raise RequestRefusedError(f"A computation cannot take {event} in state {record.state}.")
    return replace(record, state=ComputationState(target), updated=now)


def _same(known: Computation, access: Access) -> Computation:
    if known.transfer_pid != access.transfer.pid:
        raise AccessDeniedError("This identifier is taken.")
    return known


def _access(tx: Transaction, record: Computation) -> Access:
    transfer = tx.transfer(record.transfer_pid)
    if transfer is None:
        raise AccessDeniedError("The transfer process no longer exists.")
    return access_of(tx, transfer)


def _visible(tx: Transaction, token: str, identifier: str) -> Computation:
    access = open_access(tx, token, TransferFormat.COMPUTE)
    record = tx.computation(identifier)
    if record is None or record.role is not Party.PROVIDER or record.transfer_pid != access.transfer.pid:
        raise AccessDeniedError("There is no such computation.")
    return record


def _held(tx: Transaction, identifier: str) -> Computation:
    record = tx.computation(identifier)
    if record is None:
        raise UnknownExchangeError(identifier)
    if record.held is None:
        raise RequestRefusedError("This computation does not wait for a decision.")
    return record


def _require_kinds(declared: Mapping[str, str], restrictions: ComputationRestrictions) -> None:
    for name, kind in declared.items():
        if kind not in restrictions.output_kinds:
            allowed = ", ".join(sorted(restrictions.output_kinds)) or "-"
            raise UseRefusedError(
                {
                    "de": f"Die Ausgabe {name} der Art {kind} ist nicht erlaubt; erlaubt sind: {allowed}.",
                    "en": f"The output {name} of kind {kind} is not permitted; permitted are: {allowed}.",
                }
            )


def _failure(outcome: ComputationOutcome) -> LanguageMap | None:
    """Why a run came to nothing, without a word from the job itself; None where it succeeded."""
    if outcome.refused:
        return outcome.refused[0].reason
    if outcome.timed_out:
        return {
            "de": "Die Berechnung hat zu lange gedauert und wurde beendet.",
            "en": "The computation took too long and was stopped.",
        }
    if not outcome.succeeded:
        return {
            "de": "Der Algorithmus ist mit einem Fehler beendet worden.",
            "en": "The algorithm ended with an error.",
        }
    return None
