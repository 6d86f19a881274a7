"""A comparison as it could have been measured."""

from __future__ import annotations

from netlab.probe.measures.cells import Cell, Comparison, Row, unmeasured
from netlab.probe.measures.costs import ratio

RELEASE = "6.18.0"


def cells(row: str, *, form: str, overhead: int, ratios: list[float]) -> tuple[Cell, ...]:
    pairs = [[10 * one, 10.0] for one in ratios]
    return (
        Cell(f"{row}/works", True, "yes", "pod-1-1 and pod-2-1 reach each other"),
        Cell(f"{row}/encapsulation", form, form, "192.168.0.1 > 192.168.0.2"),
        Cell(f"{row}/overhead", overhead, str(overhead)),
        Cell(f"{row}/mtu", 1500 - overhead, str(1500 - overhead)),
        Cell(f"{row}/addresses", "nodes'", "nodes'"),
        ratio(f"{row}/latency-udp", "us", 1.0, pairs),
        ratio(f"{row}/throughput", "gbit_s", 1.0, pairs),
        ratio(f"{row}/packets", "per_s", 1e4, pairs),
        Cell(f"{row}/runs-in", "kernel", "kernel"),
        Cell(f"{row}/node-joins", {"node-1": {"routes": 1}}, "1 route"),
    )


VXLAN = cells(
    "flannel-vxlan/two-subnets",
    form="VXLAN, VNI 1, UDP 8472",
    overhead=50,
    ratios=[0.5, 0.8, 0.85, 0.95, 7.0],
)
BARE = cells(
    "flannel-host-gw/one-segment", form="bare", overhead=0, ratios=[0.97, 0.98, 0.99, 1.0, 1.01]
)
BARRED = (
    Cell("flannel-host-gw/two-subnets/works", False, "no", "no reply in 1.3 s"),
    unmeasured("flannel-host-gw/two-subnets/mtu", "pods do not reach each other"),
)
FOUND = Comparison(
    kernel=RELEASE,
    processors=2,
    rounds=5,
    seconds=1.5,
    rows=(
        Row("flannel-vxlan", "two-subnets", cells=VXLAN),
        Row("flannel-host-gw", "one-segment", cells=BARE),
        Row("flannel-host-gw", "two-subnets", refusal="It needs one segment.", cells=BARRED),
        Row("calico-ipip", "one-segment", unable="The dataplane calico-ipip needs ipip"),
    ),
    general=(Cell("any/node-cidr-24/pods", 253, "253 pods", "253 answer"),),
)
