"""A lab's design in its folder: written whole, and its dataplane and proxy found when asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Generic

from netlab.kernel.lab import LabFolder
from netlab.plan.dataplane import Dataplane
from netlab.plan.proxy import Proxy
from netlab.plan.types import Plan, Reference
from netlab.registry import K, Registry
from netlab.state import Design, LayoutFile, Share, as_stored
from netlab.topology.resolved import Layout

PLAN, LAYOUT = "plan.json", "layout.json"
SHARE = "share.json"  # of a lab on several machines, of which this is one


def layout_file(wanted: Design) -> LayoutFile:
    """What another process needs beside a plan."""
    from netlab.dataplane import DATAPLANES
    from netlab.proxy import PROXIES

    proxy = PROXIES.reference(wanted.proxy) if wanted.proxy else None
    return LayoutFile(wanted.layout, DATAPLANES.reference(wanted.dataplane), proxy)


def design_of(file: LayoutFile, plan: Plan) -> Design:
    """The inverse. Raises BadInput where a part stood in a file that is gone."""
    from netlab.dataplane import DATAPLANES
    from netlab.proxy import PROXIES

    proxy = PROXIES.resolve(file.proxy) if file.proxy else None
    return Design(file.layout, DATAPLANES.resolve(file.dataplane), plan, proxy)


def stored(wanted: Design, share: Share | None = None) -> dict[str, Any]:
    """The files of a lab's design."""
    files = {PLAN: wanted.plan, LAYOUT: layout_file(wanted)}
    return files | ({SHARE: share} if share else {})


class Part(Generic[K]):
    """A part of a design: a value, or what is stored of it until that is asked for."""

    def __init__(self, registry: Registry[K], value: K | None) -> None:
        self._registry, self._value = registry, value
        self._reference: Reference | None = None

    def take(self, reference: Reference | None) -> None:
        """Another command may have stored another one."""
        self._reference = reference
        known = self._registry.reference(self._value) if self._value is not None else None
        if known is not None and (reference is None or as_stored(known) != reference):
            self._value = None

    @property
    def value(self) -> K | None:
        """Raises BadInput where it stood in a file that is gone."""
        if self._value is None and self._reference is not None:
            self._value = self._registry.resolve(self._reference)
        return self._value

    @property
    def name(self) -> str | None:
        """How users call it; None where there is none."""
        if self._reference is not None:
            return self._reference["name"]
        return self._value.name if self._value is not None else None


class Stored:
    """The design of a lab: what was given, or what its folder holds now."""

    def __init__(self, wanted: Design | None = None) -> None:
        from netlab.dataplane import DATAPLANES
        from netlab.proxy import PROXIES

        self.plan: Plan
        self.layout: Layout
        self._dataplane = Part(DATAPLANES, wanted.dataplane if wanted else None)
        self._proxy = Part(PROXIES, wanted.proxy if wanted else None)

    def load(self, folder: LabFolder, wanted: Design | None) -> None:
        """Take the given design, or what is stored of it. Raises LabUnavailable."""
        if wanted:
            self.plan, self.layout = wanted.plan, wanted.layout
            return
        try:
            self.plan = folder.read(PLAN, Plan)
            file = folder.read(LAYOUT, LayoutFile)
        except FileNotFoundError as error:
            raise folder.unusable(Path(error.filename).name) from None
        self.layout = file.layout
        self._dataplane.take(file.dataplane)
        self._proxy.take(file.proxy)

    @property
    def dataplane(self) -> Dataplane:
        """Raises BadInput where it stood in a file that is gone; `proxy` likewise."""
        found = self._dataplane.value
        assert found is not None, "a lab has one"
        return found

    @property
    def proxy(self) -> Proxy | None:
        return self._proxy.value

    @property
    def names(self) -> tuple[str, str | None]:
        """Of the dataplane, and of the proxy if there is one."""
        return self._dataplane.name or "", self._proxy.name

    @property
    def whole(self) -> Design:
        return Design(self.layout, self.dataplane, self.plan, self.proxy)
