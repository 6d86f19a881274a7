"""A cluster that is there, from what kubectl prints of it: its network as a `Cluster`.

`kubectl get nodes,pods,services,endpointslices -A -o yaml` says nearly all, in one file or several;
`kubectl cluster-info dump` and ConfigMaps say the ranges too. What the files leave open is assumed,
and said.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from netlab.topology import model
from netlab.topology.kubectl.dataplanes import Found, recognise
from netlab.topology.kubectl.documents import STDIN, sources
from netlab.topology.kubectl.notes import Notes
from netlab.topology.kubectl.objects import Dump, Service
from netlab.topology.kubectl.places import Place, Places, find_places, ips_of, underlay, with_cidrs
from netlab.topology.kubectl.pods import pod
from netlab.topology.kubectl.proxies import proxy
from netlab.topology.kubectl.ranges import Known, Ranges, find_ranges
from netlab.topology.kubectl.services import Services
from netlab.topology.node_servers import API_SERVICE
from netlab.topology.resolved import Network

LONGEST_NAME = 63  # of a lab


@dataclass(frozen=True, slots=True)
class Read:
    """A cluster that was read. `notes` are what was assumed, or left out, a sentence each."""

    name: str
    cluster: model.Cluster
    notes: tuple[str, ...]


def read(paths: Sequence[str]) -> Read:
    """The cluster that files of kubectl's describe; `-` is standard input. Raises BadInput."""
    dump, notes = Dump(sources(paths)), Notes()
    found = recognise(dump, notes)
    nodes = with_cidrs(find_places(dump, notes), dump, found, notes)
    known = find_ranges(dump, notes, _known(dump, nodes), found.cilium)
    families = [one.version for one in known.cluster]
    services = Services(dump, nodes, families, notes)
    cluster = model.Cluster(
        nodes=[_node(place, families, services, notes) for place in nodes.nodes],
        dataplane=model.Named(found.name, _options(found, nodes, notes)),
        services=services.services,
        proxy=proxy(dump, notes) if services.services else None,
        **_fields(known),
        **_underlay(underlay(nodes, dump, found, len(families) > 1, notes)),
    )
    return Read(_name(paths[0]), cluster, tuple(notes.said))


def _known(dump: Dump, nodes: Places) -> Known:
    services = dump.of(Service)
    api = next((one for one in services if one.full_name == API_SERVICE), None)
    first = ips_of([api.spec.cluster_ip or ""]) if api else ()
    return Known(
        pods=tuple(cidr for node in nodes.nodes for cidr in node.cidrs),
        cluster_ips=tuple(
            ip
            for one in services
            for ip in ips_of(one.spec.cluster_ips or [one.spec.cluster_ip or ""])
        ),
        api=next((ip for ip in first if ip.version == 4), None),
        nodes=tuple(ip for node in nodes.nodes for ip in node.addresses),
        node_ports=tuple(
            port.node_port for one in services for port in one.spec.ports or () if port.node_port
        ),
    )


def _fields(known: Ranges) -> dict[str, Any]:
    """The fields of a Cluster for its ranges."""
    masks = {"node_mask": known.masks[4], "node_mask_ipv6": known.masks.get(6, 64)}
    return {
        "cluster_cidr": _texts(known.cluster),
        "service_cidr": _texts(known.services),
        "node_port_range": known.node_ports,
        **masks,
    }


def _underlay(networks: Sequence[Network]) -> dict[str, Any]:
    return {"underlay": _texts(networks)} if networks else {}


def _texts(networks: Sequence[Network]) -> str | tuple[str, ...]:
    return str(networks[0]) if len(networks) == 1 else tuple(map(str, networks))


def _node(place: Place, families: Sequence[int], services: Services, notes: Notes) -> model.Node:
    return model.Node(
        place.name,
        pods=[
            pod(
                one,
                ips,
                services.wanted.get(one.full_name, ()),
                notes,
                dns=one.full_name in services.dns,
            )
            for one, ips in place.pods
        ],
        address=tuple(str(ip) for ip in place.addresses if ip.version in families) or None,
        pod_cidr=tuple(map(str, place.cidrs)) or None,
    )


def _options(found: Found, nodes: Places, notes: Notes) -> dict[str, Any]:
    """The dataplane's options, with what nodes have of their own CIDRs."""
    options: dict[str, Any] = dict(found.options)
    for option, values in found.own.items():
        kept = []
        for place in nodes.nodes:
            for ip in ips_of([values.get(place.name, "")]):
                if any(ip in cidr for cidr in place.cidrs):
                    kept.append(str(ip))
                else:
                    notes.say(f"{place.name} has another address than {ip}, not in its pod CIDR.")
        options |= {option: tuple(kept)} if kept else {}
    return options


def _name(path: str) -> str:
    """What the lab is called: after the first file."""
    stem = "stdin" if path == STDIN else PurePath(path).name.partition(".")[0]
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-") or "dump"
    return f"from-{plain}"[:LONGEST_NAME]
