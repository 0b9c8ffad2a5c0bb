"""Path computation by an extension: plans for slices, and routes for connections that move."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from controller.extending.audit import Lie, NoRelay, Refused, audited_plan, audited_route
from controller.extending.views import connection_ask, network_view, placement
from controller.model.errors import ExtensionFailed
from controller.model.path import Route
from controller.model.request import ConnectionRequest, SliceRequest, connections_of
from controller.operations.extending.terms import Terms
from controller.pce.computation import SlicePlan, UnknownKeyRates, plan_slice, search_route
from controller.pce.infeasibility import Infeasible
from controller.pce.joint_planning import JointPlan, JointPlanner, PlannedConnection
from controller.pce.key_relay import FoundRelay
from controller.pce.network import Network
from controller.pce.placement import candidates
from scripts.extensions.api import SliceAsk
from scripts.extensions.errors import ExtensionError, Fault

# Without the auditor: what switches can be told all the same. Reservations still refuse what is overbooked.
INSTALLABLE = frozenset({
    Lie.DOWN, Lie.CLASS, Lie.LATENCY, Lie.DISJOINTNESS, Lie.EXCLUDED, Lie.REQUIRED, Lie.HOPS, Lie.BANDWIDTH,
})  # fmt: skip
Placements = Sequence[tuple[str | None, tuple[ConnectionRequest, ...]]]


class ExternalPce:
    """Asked without the lock. Its plans pass the auditor, or are not used."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self._tolerated = frozenset[Lie]() if terms.is_audited else INSTALLABLE

    # --- slices --------------------------------------------------------------------------------------------------

    def plan_slice(self, network: Network, request: SliceRequest) -> SlicePlan | UnknownKeyRates | Infeasible:
        """Its plan; where it has none that may be used, the refusal of whoever says that nothing fits, or why not.

        Raises ExtensionFailed, BoundReached.
        """
        placements = [(site, connections_of(request, site)) for site in candidates(network, request)]
        failed = None
        if placements:
            try:
                found = self._plan(network, request.name, placements)
            except ExtensionError as error:
                failed = error
            else:
                if found is not None:
                    return SlicePlan(request, *found)
        exact = plan_slice(network, request)
        if failed is None and isinstance(exact, SlicePlan):
            failed = ExtensionError(Fault.MISSED, "plan: it found none where there is one")
        if failed is not None:
            self.terms.refuse(request.name, code_of(failed), failed.detail)
            if not self.terms.uses_builtin and isinstance(exact, SlicePlan):
                raise ExtensionFailed(f"slice {request.name}: {self.terms.name}: {failed.detail}")
        return exact

    def plan_together(self, network: Network, requests: tuple[ConnectionRequest, ...]) -> JointPlan | None:
        if not requests:
            return JointPlan((), 0)
        try:
            found = self._plan(network, requests[0].slice_name, [(None, requests)])
        except ExtensionError as error:
            self.terms.refuse(requests[0].slice_name, code_of(error), error.detail)
            return JointPlanner(network).plan(requests) if self.terms.uses_builtin else None
        if found is None:
            return None
        _, planned, is_proven = found
        return JointPlan(planned, sum(one.cost for one in planned), is_proven)

    def _plan(
        self, network: Network, name: str, placements: Placements
    ) -> tuple[str | None, tuple[PlannedConnection, ...], bool] | None:
        ask = SliceAsk(name, tuple(placement(network, site, requests) for site, requests in placements))
        answer = self.terms.worker.ask("plan", network_view(network), ask)
        if answer is None:
            return None
        try:
            planned = audited_plan(network, placements, answer, self._tolerated)
        except NoRelay:
            return None
        except Refused as refused:
            raise AnswerRefused(refused) from refused
        return answer.site, planned, answer.is_proven

    # --- routes --------------------------------------------------------------------------------------------------

    def route(
        self, network: Network, request: ConnectionRequest, avoid: frozenset[str], relay: FoundRelay | None
    ) -> Route | None:
        """Its route, audited; None: it says that there is none. Raises ExtensionError."""
        ask = connection_ask(network, request, avoid)
        answer = self.terms.worker.ask("route", network_view(network), ask, tuple(sorted(avoid)))
        if answer is None:
            return None
        try:
            return audited_route(network, request, answer, relay, self._tolerated)
        except NoRelay:
            return None
        except Refused as refused:
            raise AnswerRefused(refused) from refused


class AnswerRefused(ExtensionError):
    """The auditor has found something wrong."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(Fault.REFUSED, str(refused))
        self.code = refused.complaints[0].lie.value


def code_of(error: ExtensionError) -> str:
    """The code that events, metrics and results give."""
    return error.code if isinstance(error, AnswerRefused) else error.fault.value


class RouteRehearsal:
    """Questions asked while a decision is tried on a copy of the model, and the answers while it is made in earnest.

    After the first failure nothing more is asked: whoever waits for paths does not wait for a deadline each.
    """

    def __init__(self, pce: ExternalPce) -> None:
        self._pce = pce
        self._answers: dict[object, Route | None] = {}
        self._failed: str | None = None
        self._is_asking = False
        self.rejected: dict[str, str] = {}  # connection -> why it was given no path

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Inside the block the extension is asked; outside only what it has said is repeated."""
        self._is_asking = True
        try:
            yield
        finally:
            self._is_asking = False

    def find_route(
        self, network: Network, request: ConnectionRequest, avoid: frozenset[str], relay: FoundRelay | None
    ) -> Route | None:
        key = (request, avoid, relay, network.mark())
        if self._is_asking:
            self._answers[key] = self._asked(network, request, avoid, relay)
        elif key not in self._answers:
            return self._instead(network, request, relay, "the network has changed while it was asked")
        return self._answers[key]

    def _asked(
        self, network: Network, request: ConnectionRequest, avoid: frozenset[str], relay: FoundRelay | None
    ) -> Route | None:
        if self._failed is not None:
            return self._instead(network, request, relay, self._failed)
        terms = self._pce.terms
        try:
            found = self._pce.route(network, request, avoid, relay)
            if found is not None:
                return found
            exact = search_route(network, request, relay=relay)
            if exact is None:
                return None
            raise ExtensionError(Fault.MISSED, "route: it found none where there is one")
        except ExtensionError as error:
            terms.refuse(request.id, code_of(error), error.detail)
            if error.fault not in (Fault.REFUSED, Fault.MISSED):
                self._failed = error.detail
            return self._instead(network, request, relay, error.detail)

    def _instead(
        self, network: Network, request: ConnectionRequest, relay: FoundRelay | None, why: str
    ) -> Route | None:
        if self._pce.terms.uses_builtin:
            return search_route(network, request, relay=relay)
        self.rejected[request.id] = f"{self._pce.terms.name}: {why}"
        return None
