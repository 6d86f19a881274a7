"""Services of a running lab, changed while it runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from netlab.designing import with_services
from netlab.errors import BadInput
from netlab.inside import Applied
from netlab.kernel.lab import LabFolder
from netlab.state import Design
from netlab.topology import changes
from netlab.topology.model import Service
from netlab.topology.resolved import Layout

Change = Callable[[Layout], Layout]


class Changing(ABC):
    """What a lab does about its Services, beside what its topology says; `up` puts them back.

    A Service is `NAME` or `NAMESPACE/NAME`. Each method changes what differs on the nodes and
    returns what that took. Raises BadInput for what cannot be, LabUnavailable while another command
    is at work on the lab for longer than `wait` seconds.
    """

    folder: LabFolder

    @property
    @abstractmethod
    def design(self) -> Design:
        """What the lab is to be."""

    @abstractmethod
    def _load(self) -> None:
        """Take what is stored of the lab now."""

    @abstractmethod
    def remake(self, progress: Any, wanted: Design | None = None) -> Applied:
        """Make the lab equal to another plan, for who holds its lock."""

    def _as_spread(self, wanted: Design) -> Design:
        """The design as it is on the lab's machines."""
        return wanted

    def scale(self, service: str, endpoints: int, *, wait: float = 0) -> Applied:
        """Give a Service so many endpoints, of the pods that it selects, evenly on the nodes."""
        return self._change(lambda layout: changes.scaled(layout, service, endpoints), wait)

    def add_endpoint(self, service: str, pod: str, *, wait: float = 0) -> Applied:
        """Make a pod an endpoint of a Service of its namespace, selected by it or not."""
        return self._change(lambda layout: changes.with_endpoint(layout, service, pod), wait)

    def remove_endpoint(self, service: str, pod: str, *, wait: float = 0) -> Applied:
        """Take an endpoint from a Service: the pod stays."""
        return self._change(lambda layout: changes.without_endpoint(layout, service, pod), wait)

    def add_service(self, service: Service, *, wait: float = 0) -> Applied:
        """Add a Service, as a topology has it: what it does not say is allocated."""
        return self._change(lambda layout: changes.with_service(layout, service), wait)

    def remove_service(self, service: str, *, wait: float = 0) -> Applied:
        """Remove a Service."""
        return self._change(lambda layout: changes.without_service(layout, service), wait)

    def _change(self, change: Change, wait: float) -> Applied:
        with self.folder.locked(wait=wait):
            self._load()
            before = self.design
            if before.proxy is None:
                raise BadInput(
                    f"The lab '{self.folder.name}' has no proxy, so that no node knows of Services",
                    "`netlab up TOPOLOGY --set proxy=iptables` gives it one",
                )
            wanted = with_services(before, change(before.layout).services)
            applied = self.remake(None, self._as_spread(wanted))
            self._load()
            return applied
