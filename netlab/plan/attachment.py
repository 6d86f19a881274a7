"""How a pod is attached to its node: what probes, reports and pictures need to know of it."""

from __future__ import annotations

from netlab.plan.links import Value


class Attachment(Value, frozen=True, kw_only=True):
    """One device of a pod and what it hangs on. Made by a file of `netlab/dataplane/attach/`.

    `wiring` names that file. `port` is the node's end; `bridge` the bridge that it is a port of,
    if it is one. `addresses` have their prefix lengths, as `10.244.0.2/24`; `gateways` are the next
    hops of the pod's default routes (of one family each) and `gateway_mac` the MAC that answers for
    them. `mtu` is in bytes.
    """

    pod: str
    node: str
    device: str
    port: str
    wiring: str
    addresses: tuple[str, ...]
    gateways: tuple[str, ...]
    gateway_mac: str
    mtu: int
    bridge: str | None = None
    hairpin: bool = False
