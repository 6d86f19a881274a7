"""A cluster that is there, from what kubectl prints of it: built, verified, and exported again."""

from __future__ import annotations

from pathlib import Path

from tests import kubectl
from tests.kernel.conftest import Netlab
from tests.kubectl import Json, endpoints, node, pod, service

NODES = (("master", "10.9.0.11"), ("worker-1", "10.9.0.21"), ("worker-2", "10.9.0.22"))


def cluster() -> list[Json]:
    flannel = {"flannel.alpha.coreos.com/backend-type": "vxlan"}
    flannel["flannel.alpha.coreos.com/backend-data"] = '{"VNI":3,"VtepMAC":"aa:bb:cc:dd:ee:01"}'
    items = [
        node(name, ip, f"10.42.{number}.0/24", annotations=flannel)
        for number, (name, ip) in enumerate(NODES)
    ]
    labels = {"labels": {"app": "web"}}
    items += [
        pod("web-0", "worker-1", "10.42.1.7", ("http", 80, "TCP"), **labels),
        pod("web-1", "worker-2", "10.42.2.9", ("http", 80, "TCP"), **labels),
        pod("edge-x", "worker-2", "10.9.0.22", ("https", 8443, "TCP"), host=True),
    ]
    https = {"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}
    items.append(service("kubernetes", "10.43.0.1", https))
    items.append(endpoints("kubernetes", [{"name": "https", "port": 6443}], "10.9.0.11"))
    http = {"port": 80, "protocol": "TCP", "targetPort": "http"}
    items.append(service("web", "10.43.0.80", http, selector={"app": "web"}))
    edge = {"port": 443, "protocol": "TCP", "targetPort": 8443}
    items.append(service("edge", "10.43.0.44", edge))
    items.append(endpoints("edge", [{"name": "", "port": 8443}], "10.9.0.22"))
    dns = {"labels": {"k8s-app": "kube-dns"}, "namespace": "kube-system"}
    items.append(pod("coredns-6x", "worker-1", "10.42.1.8", ("dns", 53, "UDP"), **dns))
    names = [{"name": f"dns-{n}", "port": 53, "protocol": n.upper()} for n in ("udp", "tcp")]
    system = {"namespace": "kube-system", "selector": {"k8s-app": "kube-dns"}}
    items.append(service("kube-dns", "10.43.0.10", *names, **system))
    return items


def answer(netlab: Netlab, address: str) -> list[str]:
    """Who answers a pod there by TCP, and whom it saw."""
    ask = f"exec 3<>/dev/tcp/{address}; echo >&3; timeout 3 cat <&3"
    return netlab.inside("web-0", f"bash -c '{ask}'").split()


def test_a_cluster_that_is_there_is_built_with_its_addresses(
    netlab: Netlab, tmp_path: Path
) -> None:
    file = tmp_path / "edge.yaml"
    file.write_text(kubectl.text(cluster()))
    built = netlab.run("--json", "up", "--from", str(file))
    assert (built.code, built.json["ok"], built.json["lab"]) == (0, True, "from-edge"), built.err
    assert "from-edge: 3 nodes, 3 pods" in built.err
    assert "1 pod is left out, with hostNetwork" in built.err
    assert "vxlan id 3 " in netlab.inside("worker-2", "ip -d link show flannel.3")
    assert answer(netlab, "10.42.2.9/80")[:2] == ["web-1", "main"]
    assert answer(netlab, "10.43.0.80/80")[0] in ("web-0", "web-1")
    assert answer(netlab, "10.43.0.44/443")[:2] == ["worker-2", "edge-8443"]
    assert answer(netlab, "10.43.0.1/443")[:2] == ["master", "kube-apiserver"]
    assert netlab.inside("web-1", "getent hosts edge").split()[0] == "10.43.0.44"
    again = tmp_path / "again" / "edge.yaml"  # of the same name, so that it is the same lab's
    again.parent.mkdir()
    again.write_text(netlab.run("export").out)
    unchanged = netlab.run("up", "--from", str(again), "--no-verify")
    assert (unchanged.code, "nothing differed" in unchanged.err) == (0, True), unchanged.err
