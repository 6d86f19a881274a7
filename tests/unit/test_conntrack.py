"""Which UDP flows are stale, as kube-proxy decides it, and how conntrack is asked of them."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import Any

import pytest

from netlab import Cluster, Service, ServicePort
from netlab.kernel.conntrack import Flow, Serving, flows, serving
from netlab.kernel.netlink import Request
from netlab.topology import changes
from netlab.topology.layout import lay_out
from netlab.topology.resolved import Layout, ServiceSpec

DNS = Service(
    "dns",
    ports=(
        ServicePort(53, 8081, "UDP", 30053, "dns"),
        ServicePort(53, 8080, "TCP", 30053, "dns-tcp"),
    ),
    cluster_ip="10.96.0.10",
    external_ips=("198.51.100.1",),
)
CLUSTER = Cluster(nodes=1, proxy="nftables", services=[DNS])
BOTH = lay_out(CLUSTER)
ONE = changes.without_endpoint(BOTH, "dns", "pod-1-1")  # only 10.244.0.3 is left


def flow(destination: str, port: int, endpoint: str) -> Flow:
    family = socket.AF_INET6 if ":" in destination else socket.AF_INET
    return Flow(int(family), destination, port, endpoint, Request(0, 0, b"", ""))


def judge(before: Layout, after: Layout) -> Serving:
    found = serving(before.services, after.services)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("destination", "port", "endpoint", "stale"),
    [
        ("10.96.0.10", 53, "10.244.0.2", True),
        ("10.96.0.10", 53, "10.244.0.3", False),
        ("198.51.100.1", 53, "10.244.0.2", True),
        ("192.168.0.1", 30053, "10.244.0.2", True),
        ("192.168.0.1", 30053, "10.244.0.3", False),
        ("10.96.0.10", 53, "10.96.0.10", True),  # sent before there were rules
        ("10.96.0.10", 54, "10.244.0.2", False),
        ("10.96.0.11", 53, "10.244.0.2", False),
        ("10.244.0.2", 8081, "10.244.0.2", False),
        ("fd30::1", 30053, "fd44::2", False),  # the Service has no IPv6
    ],
)
def test_a_flow_is_stale_when_no_endpoint_of_its_service_answers(
    destination: str, port: int, endpoint: str, stale: bool
) -> None:
    assert judge(BOTH, ONE).is_stale(flow(destination, port, endpoint)) is stale


def test_without_endpoints_all_flows_are_stale_and_so_are_those_of_a_service_that_is_gone() -> None:
    own = flow("10.96.0.10", 53, "10.244.0.3")
    assert not judge(BOTH, BOTH).is_stale(own)
    assert judge(BOTH, changes.scaled(BOTH, "dns", 0)).is_stale(own)
    gone = changes.without_service(BOTH, "dns")
    assert judge(BOTH, gone).is_stale(own)
    again = changes.with_service(gone, replace(DNS, name="other"))  # at the same address
    assert not judge(BOTH, again).is_stale(own)
    assert serving(gone.services, gone.services) is None


def test_an_endpoint_that_still_serves_keeps_its_flows() -> None:
    def found(**fields: Any) -> tuple[ServiceSpec, ...]:
        return lay_out(replace(CLUSTER, services=[replace(DNS, **fields)])).services

    own = flow("10.96.0.10", 53, "10.244.0.2")
    for fields, stale in (
        ({"terminating": ("pod-1-1",)}, False),
        ({"unready": ("pod-1-1",)}, True),
    ):
        judged = serving((), found(**fields))
        assert judged is not None
        assert judged.is_stale(own) is stale


# Dumped by Linux 6.18: 127.0.0.1:4444 to 127.0.0.9:53, answered by 127.0.0.1:5353; one of IPv6.
IPV4 = (
    "020000003400018014000180080001007f000001080002007f0000091c000280050001001100000006000200115c"
    "000006000300003500003400028014000180080001007f000001080002007f0000011c0002800500010011000000"
    "0600020014e9000006000300115c000008000300000001a8080008000000000008000c004e546cdd08000b000000"
    "0001080007000000001d"
)
IPV6 = (
    "0a0000004c0001802c000180140003000000000000000000000000000000000114000400000000000000000000000"
    "000000000011c000280050001001100000006000200115c000006000300003600004c0002802c0001801400030000"
    "00000000000000000000000000000114000400000000000000000000000000000000011c000280050001001100000"
    "0060002000036000006000300115c00000800030000000008080008000000000008000c004ac8c2e808000b000000"
    "0001080007000000001d"
)


def test_flows_are_read_and_deleted_by_how_they_began() -> None:
    entries = [bytes.fromhex(text) for text in (IPV4, IPV6)]
    first, second = flows(entries)
    assert first[:4] == (socket.AF_INET, "127.0.0.9", 53, "127.0.0.1")
    assert second[:4] == (socket.AF_INET6, "::1", 54, "::1")
    tcp = entries[0].replace(bytes.fromhex("0500010011"), bytes.fromhex("0500010006"))
    assert list(flows([tcp])) == []
    began = entries[0][8 : 4 + 0x34].replace(b"\x80", b"\x00")  # without the flag of a nest
    number = entries[0][entries[0].index(bytes.fromhex("08000c00")) :][:8]
    assert began + number == first.deletion.body[8:].replace(b"\x80", b"\x00")
    assert first.deletion.kind == 0x102  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE
