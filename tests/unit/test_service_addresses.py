"""Which ClusterIPs a Service has in a cluster of both families."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from netlab import BadInput, Cluster, Service
from netlab.topology.layout import lay_out
from tests.unit.plans import DUAL_STACK

CIDRS = ("10.96.0.0/12", "fd00:10:96::/112")


def versions(service: Service) -> list[int]:
    layout = lay_out(Cluster(services=[service], service_cidr=CIDRS, **DUAL_STACK))
    (found,) = (one for one in layout.services if one.name == service.name)
    if isinstance(service.cluster_ip, str):
        assert found.cluster_ips[0] == ip_address(service.cluster_ip), "what is given is the first"
    return [ip.version for ip in found.cluster_ips]


@pytest.mark.parametrize(
    ("given", "dual_stack", "found"),
    [
        (None, False, [4]),
        (None, True, [4, 6]),
        ("10.96.0.10", False, [4]),
        ("10.96.0.10", True, [4, 6]),
        ("fd00:10:96::a", False, [6]),
        ("fd00:10:96::a", True, [6, 4]),
        (("fd00:10:96::a", "10.96.0.10"), True, [6, 4]),
    ],
)
def test_dual_stack_is_one_of_each_family(
    given: str | tuple[str, ...] | None, dual_stack: bool, found: list[int]
) -> None:
    assert versions(Service("web", port=8080, cluster_ip=given, dual_stack=dual_stack)) == found


def test_dual_stack_that_changes_nothing_is_refused() -> None:
    with pytest.raises(BadInput, match="web is headless, so that dual_stack has no effect"):
        versions(Service("web", port=8080, cluster_ip="None", dual_stack=True))
    with pytest.raises(BadInput, match="the cluster has one service CIDR"):
        lay_out(Cluster(services=[Service("web", port=8080, dual_stack=True)]))
