"""Which dataplane a cluster has, from what its agents write into Kubernetes' objects.

Dataplanes are known by their names alone: what they are is not this room's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from netlab.topology.kubectl.notes import Notes
from netlab.topology.kubectl.objects import (
    BlockAffinity,
    CiliumNode,
    DaemonSet,
    Dump,
    IpPool,
    Node,
    Pod,
)

ASSUMED = "flannel-vxlan"
CILIUM = ("network.cilium.io/", "io.cilium.network.")  # since 1.12, and before
FLANNEL = "flannel.alpha.coreos.com/"
CALICO = "projectcalico.org/"
_WIREGUARD = {"ListenPort": "listen_port", "Mode": "mode"}
_WIREGUARD |= {"PersistentKeepaliveInterval": "persistent_keepalive_interval"}
# The fields of net-conf.json's Backend that are options, by its Type.
BACKENDS: dict[str, dict[str, str]] = {
    "vxlan": {"VNI": "vni", "Port": "port", "DirectRouting": "direct_routing"},
    "host-gw": {},
    "udp": {"Port": "port"},
    "ipip": {"DirectRouting": "direct_routing"},
    "wireguard": _WIREGUARD,
}


@dataclass(frozen=True, slots=True)
class Found:
    """A dataplane's name and options, and what its agents say of the nodes.

    `cidrs` are nodes' pod CIDRs where they are not those of the Node objects; `own` are addresses
    that nodes have of them, by the option that takes them. With `blocks` a node has several CIDRs.
    `one_segment`: it works on one segment only.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    cidrs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    own: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    blocks: bool = False
    one_segment: bool = False

    @property
    def cilium(self) -> bool:
        return self.name.startswith("cilium-")

    @property
    def gateway_first(self) -> bool:
        """Whether the first address of a node's CIDR is its gateway, which no pod has."""
        return not (self.cilium or self.blocks)


def recognise(dump: Dump, notes: Notes) -> Found:
    """The dataplane of a cluster; where it is not to be known that is said."""
    for look in (_cilium, _flannel, _calico):
        if found := look(dump, notes):
            return found
    notes.say(
        f"The dataplane is not to be known from the files: {ASSUMED} is assumed; --set dataplane=… "
        "for another."
    )
    return Found(ASSUMED)


def _runs(dump: Dump, names: Iterable[str]) -> bool:
    """Whether there is an agent of such a name: a DaemonSet, or its pods."""
    words = "|".join(map(re.escape, names))
    sets = (one.name for one in dump.of(DaemonSet))
    pods = (one.name for one in dump.of(Pod) if one.spec.host_network)
    return any(re.fullmatch(words, name) for name in sets) or any(
        re.fullmatch(rf"({words})-[a-z0-9]{{5}}", name) for name in pods
    )


def _cilium(dump: Dump, notes: Notes) -> Found | None:
    nodes, config = dump.of(Node), dump.config("cilium-config")
    own: dict[str, dict[str, str]] = {"routers": {}, "health": {}}
    cidrs: dict[str, tuple[str, ...]] = {}
    for node in nodes:
        for option, key in (("routers", "ipv4-cilium-host"), ("health", "ipv4-health-ip")):
            if value := node.metadata.annotation(*(prefix + key for prefix in CILIUM)):
                own[option][node.name] = value
        if value := node.metadata.annotation(*(f"{prefix}ipv4-pod-cidr" for prefix in CILIUM)):
            cidrs[node.name] = (value,)
    for one in dump.of(CiliumNode):
        cidrs[one.name] = tuple(one.spec.ipam.pod_cidrs or ()) or cidrs.get(one.name, ())
        for address in one.spec.addresses or ():
            if address.type == "CiliumInternalIP" and address.ip and ":" not in address.ip:
                own["routers"][one.name] = address.ip
        if one.spec.health.ipv4:
            own["health"][one.name] = one.spec.health.ipv4
    if not (config or cidrs or own["routers"] or _runs(dump, ("cilium",))):
        return None
    native = False
    if config:
        native = config.value("routing-mode") == "native" or config.value("tunnel") == "disabled"
        protocol = config.value("tunnel-protocol") or config.value("tunnel") or "vxlan"
        if not native and protocol == "geneve":
            notes.say("Cilium's tunnels are Geneve, for which netlab has VXLAN.")
    else:
        notes.say(
            "Whether Cilium has a tunnel or routes natively is not in the files: cilium-vxlan is "
            "assumed, Cilium's default; --set dataplane=cilium-native for the other."
        )
    return Found(
        "cilium-native" if native else "cilium-vxlan", cidrs=cidrs, own=own, one_segment=native
    )


def _flannel(dump: Dump, notes: Notes) -> Found | None:
    annotated = [
        node.metadata
        for node in dump.of(Node)
        if node.metadata.annotation(f"{FLANNEL}backend-type")
    ]
    config = next(filter(None, map(dump.config, ("kube-flannel-cfg", "flannel-cfg"))), None)
    conf = _object(config.value("net-conf.json")) if config else {}
    if not (annotated or conf or _runs(dump, ("kube-flannel-ds", "kube-flannel"))):
        return None
    backend = conf.get("Backend")
    backend = backend if isinstance(backend, dict) else {}
    kind = str(backend.get("Type") or "").lower()
    if annotated:
        kind = kind or annotated[0].annotation(f"{FLANNEL}backend-type").lower()
        data = _object(annotated[0].annotation(f"{FLANNEL}backend-data"))
        backend = {**({"VNI": data["VNI"]} if "VNI" in data else {}), **backend}
    if kind not in BACKENDS:
        assumed = ASSUMED.removeprefix("flannel-")
        what = f"Flannel's backend {kind} is none of netlab's" if kind else "It has Flannel"
        notes.say(f"{what}: {ASSUMED} is assumed; --set dataplane=… for another.")
        kind = assumed
    options = {option: backend[key] for key, option in BACKENDS[kind].items() if key in backend}
    options = {key: value for key, value in options.items() if isinstance(value, int | str)}
    if isinstance(backend.get("MTU"), int):
        options["mtu"] = backend["MTU"]
    if conf:
        options["rules"] = "nftables" if conf.get("EnableNFTables") is True else "iptables"
    return Found(f"flannel-{kind}", options, one_segment=kind == "host-gw")


def _calico(dump: Dump, notes: Notes) -> Found | None:
    nodes, pools = dump.of(Node), [one.spec for one in dump.of(IpPool) if not one.spec.disabled]
    tunnels = {
        kind: _annotations(nodes, f"{CALICO}IPv4{kind}TunnelAddr") for kind in ("IPIP", "VXLAN")
    }
    spoken = _annotations(nodes, f"{CALICO}IPv4Address")
    if not (spoken or pools or any(tunnels.values()) or _runs(dump, ("calico-node",))):
        return None
    cidrs: dict[str, tuple[str, ...]] = {}
    for one in dump.of(BlockAffinity):
        cidrs[one.spec.node] = (*cidrs.get(one.spec.node, ()), one.spec.cidr)
    pool = next((one for one in pools if ":" not in one.cidr), None)
    ipip = pool.ipip_mode if pool and pool.ipip_mode else "Never"
    vxlan = pool.vxlan_mode if pool and pool.vxlan_mode else "Never"
    options: dict[str, Any] = {"nat_outgoing": pool.nat_outgoing} if pool else {}
    own: dict[str, Mapping[str, str]] = {}
    if vxlan != "Never" or tunnels["VXLAN"]:
        name, own = "calico-vxlan", {"tunnels": tunnels["VXLAN"]}
        options |= {"cross_subnet": True} if vxlan == "CrossSubnet" else {}
    elif ipip != "Never" or tunnels["IPIP"]:
        name, own = "calico-ipip", {"tunnels": tunnels["IPIP"]}
        options |= {"mode": "CrossSubnet"} if ipip == "CrossSubnet" else {}
    elif reflectors := _annotations(nodes, f"{CALICO}RouteReflectorClusterID"):
        name, options = "calico-rr", options | {"reflectors": len(reflectors)}
        if list(reflectors) != [node.name for node in nodes[: len(reflectors)]]:
            notes.say("Calico's route reflectors are taken to be the first nodes.")
    else:
        name = "calico-bgp"
        if not spoken and not pool:
            notes.say(
                "Calico's encapsulation is not in the files: calico-bgp, without any, is assumed; "
                "--set dataplane=… for another."
            )
    return Found(name, options, cidrs, own, True, name in ("calico-bgp", "calico-rr"))


def _annotations(nodes: Iterable[Node], key: str) -> dict[str, str]:
    return {node.name: value for node in nodes if (value := node.metadata.annotation(key))}


def _object(text: str) -> dict[str, Any]:
    """What a text in JSON holds, where that is an object."""
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
