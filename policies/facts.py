"""What an evaluation is asked and what it may know.

Whatever is not handed in is unknown, and what is unknown opens nothing: a fact
has no default that somebody could profit from.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta

from policies.world import Features, World


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody asks to do.

    Attributes:
        action: Absolute IRI of the action.
        target: Absolute IRI of the dataset.
        assignee: Identifier (DID) of who asks, as verified by the caller.
        purpose: Absolute IRI of the declared purpose; None where none is declared.
        algorithm_digest: SHA-256 of the algorithm (64 lower-case hexadecimal
            digits); None where no algorithm is involved.
        recipient: Identifier (DID) of who gets the result, where that is
            somebody else than who asks.
        features: What else is known of the use that is asked for; refinements
            are compared with it.
    """

    action: str
    target: str
    assignee: str
    purpose: str | None = None
    algorithm_digest: str | None = None
    recipient: str | None = None
    features: Features = field(default_factory=Features)


@dataclass(frozen=True, slots=True)
class Partner:
    """What is known about a partner: from the provider's own register, or from the partner's credentials.

    Attributes:
        organisation: IRI of the organisation that the partner belongs to; None where that is not known.
        memberships: IRIs of what the partner is a member of.
        roles: IRIs of the roles that the partner has.
        security_levels: IRIs of the security levels that the partner's connector has.
        seat: Where the partner is seated: an ISO 3166 country or a NUTS region; None where that is not known.
        catena_x_member: Whether the partner is an active member of Catena-X.
        business_partner_number: The partner's number in Catena-X; None where that is not known.
        business_partner_groups: Names of the groups of partners that it belongs to.
        framework_agreements: Framework agreements that the partner has signed, with their versions.
        complete: Whether what is missing is known to be missing, as in a register. A partner
            shows the credentials that it likes: what is missing there is unknown.
    """

    organisation: str | None = None
    memberships: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    security_levels: frozenset[str] = frozenset()
    seat: str | None = None
    catena_x_member: bool = False
    business_partner_number: str | None = None
    business_partner_groups: frozenset[str] = frozenset()
    framework_agreements: frozenset[str] = frozenset()
    complete: bool = True


def joined(stated: Partner | None, proven: Partner | None) -> Partner | None:
    """Join what a provider states about a partner with what the partner's credentials prove.

    The provider's own word comes first where there can only be one. Where the provider
    states nothing about the partner, what is not proven stays unknown.
    """
    if stated is None or proven is None:
        return proven if stated is None else stated
    values = {}
    for one in fields(Partner):
        own, other = getattr(stated, one.name), getattr(proven, one.name)
        values[one.name] = own | other if isinstance(own, frozenset) else own or other
    return Partner(**values)


@dataclass(frozen=True, slots=True)
class Facts:
    """The state of the world, as the enforcing side measured it.

    Attributes:
        now: The current time, with its zone; never taken from the request.
        uses: Uses so far, per rule identifier. A rule that is missing here has
            an unknown number of uses, not none: a limit on it does not hold.
        started: When the agreement was made; None where there is none yet.
        fulfilled: Identifiers of the duties that were met, such as
            `permission/0/duty/0`.
        last_used: When a rule was last used, per rule identifier; None where
            it is known that it never was. A rule that is missing here is unknown.
        metered: For how long a rule has been used so far, per rule identifier;
            a rule that is missing here is unknown.
        partner: What is known about the assignee; None where nothing is, and
            then all of it is unknown.
        place: Where the use takes place: an ISO 3166 country or a NUTS region.
        events: Whether an event is going on, by its name; of an event that is
            missing here nothing is known.
        world: What is known beyond that: collections, hierarchies, what was done.
    """

    now: datetime
    uses: Mapping[str, int] = field(default_factory=dict)
    started: datetime | None = None
    fulfilled: frozenset[str] = frozenset()
    last_used: Mapping[str, datetime | None] = field(default_factory=dict)
    metered: Mapping[str, timedelta] = field(default_factory=dict)
    partner: Partner | None = None
    place: str | None = None
    events: Mapping[str, bool] = field(default_factory=dict)
    world: World = field(default_factory=World)

    def __post_init__(self) -> None:
        if self.now.utcoffset() is None:
            raise ValueError("The time of an evaluation needs a zone; pass a datetime in UTC.")
