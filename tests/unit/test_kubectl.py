"""Clusters that are there, read from what kubectl prints of them."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from netlab.designing import design
from netlab.errors import BadInput
from netlab.topology import kubectl
from netlab.topology.kubectl import Read, ranges
from netlab.topology.kubectl.documents import documents, source
from netlab.topology.model import Cluster, Named, Node, Pod
from netlab.topology.resolved import Layout
from tests import kubectl as dumps
from tests.kubectl import Json, config_map, endpoints, node, pod, service

HTTPS = {"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}
WEB = {"port": 80, "protocol": "TCP", "targetPort": "http"}
ONE_NODE = (node("n1", "192.168.7.1", "10.244.0.0/24"),)


def read(folder: Path, *items: Json, text: str = "") -> Read:
    path = folder / "cluster.yaml"
    path.write_text(text or dumps.text(list(items)))
    return kubectl.read([str(path)])


def laid_out(given: Read, **options: str) -> Layout:
    return design(given, options).layout


def nodes(given: Cluster) -> list[Node]:
    assert not isinstance(given.nodes, int)
    return list(given.nodes)


def pods(given: Cluster) -> list[Pod]:
    found = [one for n in nodes(given) for one in (n.pods if isinstance(n.pods, tuple) else ())]
    return [one for one in found if isinstance(one, Pod)]


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_a_cluster_of_kubesprays_is_as_it_is_there(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"cd-ops.{form}"
    text = dumps.text(dumps.kubespray(), form=form).replace("\n", "\r\n")
    path.write_bytes(text.encode("utf-16"))  # as PowerShell writes it
    given = kubectl.read([str(path)])
    assert given.name == "from-cd-ops"
    layout = laid_out(given)
    assert [(n.name, str(n.address), str(n.pod_cidr)) for n in layout.nodes] == [
        (name, address, f"10.233.{number}.0/24") for name, address, number, *_ in dumps.NODES
    ]
    assert [str(ip) for n in layout.nodes for _, ip in n.reserved] == [
        f"10.233.{number}.{own}" for _, _, number, *both in dumps.NODES for own in both
    ]
    assert {p.name: str(p.address) for p in layout.pods} == {
        "coredns-5c469774b8-4x2vj": "10.233.64.77",
        "coredns-5c469774b8-q8gzn": "10.233.65.78",
        "dns-autoscaler-7b6c8f-xk2": "10.233.66.5",
        "web-6d4cf56db6-1": "10.233.69.101",
        "web-6d4cf56db6-2": "10.233.68.102",
        "web-6d4cf56db6-3": "10.233.67.103",
        "db-0": "10.233.69.9",
    }
    assert (str(layout.cluster_cidr), str(layout.service_cidr)) == (
        "10.233.64.0/18",
        "10.233.0.0/18",
    )
    assert given.cluster.proxy == Named("iptables", {})
    assert isinstance(given.cluster.dataplane, Named)
    assert given.cluster.dataplane.name == "cilium-vxlan"


def test_its_services_lead_where_their_slices_say(tmp_path: Path) -> None:
    given = read(tmp_path, *dumps.kubespray())
    services = {one.full_name: one for one in laid_out(given).services}
    api = services["default/kubernetes"]
    assert [str(one) for one in api.ports[0].endpoints] == [
        f"{address}:6443" for _, address, *_ in dumps.MASTERS
    ]
    dns = services["kube-system/coredns"]
    assert str(dns.cluster_ips[0]) == "10.233.0.3"
    assert [(p.name, p.protocol, p.port, p.target_port) for p in dns.ports] == [
        ("dns", "UDP", 53, 53),
        ("dns-tcp", "TCP", 53, 53),
        ("metrics", "TCP", 9153, 9153),
    ]
    assert dns.selector == ("k8s-app=kube-dns",)
    web = services["shop/web"]
    assert (web.ports[0].node_port, web.external_policy) == (30080, "Local")
    assert [(str(one), one.ready) for one in web.ports[0].endpoints] == [
        ("10.233.69.101:80", True),
        ("10.233.68.102:80", True),
        ("10.233.67.103:80", False),
    ]
    assert services["default/db"].headless


def test_every_container_is_a_server_on_a_port_of_its(tmp_path: Path) -> None:
    cluster = read(tmp_path, *dumps.kubespray()).cluster
    by_name = {one.name: one for one in pods(cluster)}

    def ports(name: str) -> dict[str, int]:
        return {c.name: c.port for c in by_name[name].containers or ()}

    # netlab's DNS server has port 53.
    assert ports("coredns-5c469774b8-4x2vj") == {"coredns": 9153}
    servers = [name for name, pod in by_name.items() if pod.dns]
    assert servers == ["coredns-5c469774b8-4x2vj", "coredns-5c469774b8-q8gzn"]
    assert ports("web-6d4cf56db6-1") == {"main": 80, "exporter": 9113}
    assert ports("dns-autoscaler-7b6c8f-xk2") == {"main": 8080}
    assert all(c.command is None for one in by_name.values() for c in one.containers or ())


def test_what_is_left_out_or_assumed_is_said_once(tmp_path: Path) -> None:
    notes = read(tmp_path, *dumps.kubespray()).notes
    assert "1 pod is left out, ended: default/migrate-28x." in notes
    assert any(n.startswith("27 pods are left out, with hostNetwork") for n in notes)
    assert any("one segment, 192.168.50.0/24" in n for n in notes)
    assert len(notes) == 3


def test_what_services_have_and_a_lab_has_not_is_said_once(tmp_path: Path) -> None:
    tcp, sctp = {"port": 80, "name": "t"}, {"port": 80, "name": "s", "protocol": "SCTP"}
    balanced = [
        dumps.service(f"web-{number}", f"10.96.0.{number}", tcp, sctp, type="LoadBalancer")
        | {"status": {"loadBalancer": {"ingress": [{"ip": f"198.51.100.{number}"}]}}}
        for number in (7, 8)
    ]
    plain = dumps.service("plain", "10.96.0.9", tcp) | {"status": {"loadBalancer": {}}}
    only = dumps.service("only", "10.96.0.10", sctp)
    given = read(tmp_path, dumps.node("a", "192.168.0.1", "10.244.0.0/24"), *balanced, plain, only)
    said = [note for note in given.notes if "Service" in note]
    assert said == [
        "1 Service is left out, without a port of TCP or UDP: default/only.",
        "2 Services are without ports of SCTP, which no proxy here has: default/web-7, "
        "default/web-8.",
        "2 Services are without addresses of load balancers, of which a lab has none: "
        "default/web-7, default/web-8.",
    ]
    assert [len(one.ports) for one in given.cluster.services[-3:]] == [1, 1, 1]


def test_pods_ask_the_clusters_own_service_for_names(tmp_path: Path) -> None:
    found = design(read(tmp_path, *dumps.kubespray()), {}).layout
    assert str(found.nameserver) == "10.233.0.3"
    known = next(one for one in found.services if one.full_name == "kube-system/coredns")
    assert {one.target for one in known.ports[0].endpoints} == {
        pod.name for pod in found.pods if pod.dns
    }


def test_a_dump_of_cluster_info_has_logs_between_its_documents(tmp_path: Path) -> None:
    found = node("n1", "10.0.0.1", "10.244.0.0/24")
    del found["kind"], found["apiVersion"]
    whole = [{"kind": "NodeList", "apiVersion": "v1", "items": [found]}]
    whole.append({"kind": "EventList", "apiVersion": "v1", "items": [{"x": 1}]})
    log = "==== START logs for container c of pod kube-system/p ====\n"
    log += 'FLAG: --service-cluster-ip-range="10.97.0.0/16"\n{"not": json\n'
    log += "Using ipvs Proxier\n==== END logs for container c of pod kube-system/p ====\n"
    services = {"kind": "ServiceList", "apiVersion": "v1", "items": []}
    services["items"] = [service("kubernetes", "10.97.0.1", HTTPS)]
    text = "\n".join(json.dumps(one, indent=4) for one in whole) + "\n" + log + json.dumps(services)
    given = read(tmp_path, text=text)
    assert given.cluster.service_cidr == "10.97.0.0/16"
    assert given.cluster.proxy == Named("ipvs", {})
    [api] = given.cluster.services
    assert api.nodes == ("n1",)


def test_several_files_are_one_cluster(tmp_path: Path) -> None:
    parts = (dumps.kubespray()[:6], dumps.kubespray()[6:])
    paths = []
    for number, items in enumerate(parts):
        paths.append(str(tmp_path / f"{number}.yaml"))
        documents = [dumps.text([one]) for one in items]
        Path(paths[-1]).write_text("---\n".join(documents))
    assert kubectl.read(paths).cluster == read(tmp_path, *dumps.kubespray()).cluster


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: [1\nb: 2\n", r"line 2: this is not YAML"),
        ("\njust words\n", r"line 2: this is no object of Kubernetes; give what `kubectl get"),
        ("nodes: 3\n", r"line 1: this is no object of Kubernetes"),
        ("kind: Node\nkind: Pod\n", r"line 2: 'kind' is given twice"),
        ("a: &x {}\nb: *x\n", r"line 2: &x is used again; write it out"),
        ("? [a]\n: b\n", r"line 1: a mapping's key is no text"),
        ("[" * 5000, r"is nested too deeply"),
        ("- " * 5000, r"exceeded maximum nesting depth"),
        ("\0", r"not YAML"),
        ('{"kind": "Node",\n "kind": "Pod"}', r"line 1: 'kind' is given twice"),
        ('{"kind": "Node",\n', r"this is not JSON"),
        ('{"apiVersion": "v1", "kind": "NodeList", "items": 3}', r"items of the 'NodeList'"),
        ("", r"There is no node in the files"),
        ("apiVersion: v1\nkind: Node\nmetadata: {nam: x}\n", r"the Node is not as Kubernetes"),
        ("apiVersion: v1\nkind: Node\nmetadata: {name: n}\nstatus: []\n", r"the Node 'n' is not"),
    ],
)
def test_what_is_not_of_kubectl_is_refused_with_its_line(
    tmp_path: Path, text: str, sentence: str
) -> None:
    with pytest.raises(BadInput, match=sentence):
        read(tmp_path, text=text or "\n")


EVIL = ("a; touch /tmp/evil", "../../etc", "$(reboot)", "x\ny", "A", "a" * 300, "--help")


@pytest.mark.parametrize("evil", EVIL)
def test_names_are_checked_as_everywhere(tmp_path: Path, evil: str) -> None:
    plain = node("n1", "192.168.7.1", "10.244.0.0/24")
    web = pod("web", "n1", "10.244.0.2", ("http", 80, "TCP"), labels={"app": "web"})
    of_web = service("web", "10.96.0.9", WEB, selector={"app": "web"})
    cases: list[list[Json]] = [
        [node(evil, "192.168.7.1", "10.244.0.0/24")],
        [plain, pod(evil, "n1", "10.244.0.2")],
        [plain, pod("web", "n1", "10.244.0.2", namespace=evil)],
        [plain, pod("web", "n1", "10.244.0.2", container=evil)],
        [plain, web, service(evil, "10.96.0.9", WEB, selector={"app": "web"})],
        [plain, web, service("web", "10.96.0.9", {**WEB, "name": evil}, selector={"app": "web"})],
    ]
    for items in cases:
        with pytest.raises(BadInput, match="DNS"):
            laid_out(read(tmp_path, *items))
    # What no name is made of may be anything.
    web["metadata"]["labels"]["note"] = evil
    assert [p.name for p in laid_out(read(tmp_path, plain, web, of_web)).pods] == ["web"]


def test_the_name_of_a_lab_is_made_of_the_files(tmp_path: Path) -> None:
    path = tmp_path / "my; cluster $(x).prod.yaml"
    path.write_text(dumps.text(list(ONE_NODE)))
    assert kubectl.read([str(path)]).name == "from-my-cluster-x"


@pytest.mark.parametrize(
    "text",
    [
        '"--service-cluster-ip-range=10.97.0.0/16",',
        "    - --service-cluster-ip-range=10.97.0.0/16\n",
        '"--service-cluster-ip-range",\n "10.97.0.0/16"',
        "- --service-cluster-ip-range\n- 10.97.0.0/16\n",
        'I0101 FLAG: --service-cluster-ip-range="10.97.0.0/16"',
        "networking:\\n  serviceSubnet: 10.97.0.0/16\\n",
        "- name: service-cluster-ip-range\n  value: 10.97.0.0/16\n",
    ],
)
def test_a_flag_is_found_wherever_it_stands(tmp_path: Path, text: str) -> None:
    path = tmp_path / "logs.yaml"
    path.write_text(f"{dumps.text(list(ONE_NODE))}#{text!r}\n# {text.encode()!r}\n")
    found = ranges.values(text, ("service-cluster-ip-range", "serviceSubnet"), r"([\d./]+)")
    assert found == ["10.97.0.0/16"]


def test_ranges_that_are_not_said_are_guessed_and_hold_what_is_there(tmp_path: Path) -> None:
    api = service("kubernetes", "10.43.0.1", HTTPS)
    k3s = node("n1", "192.168.7.1", "10.42.0.0/24")
    given = read(tmp_path, k3s, api)
    assert (given.cluster.cluster_cidr, given.cluster.service_cidr) == (
        "10.42.0.0/16",
        "10.43.0.0/16",
    )
    assert any(
        "service CIDR is not in the files: 10.43.0.0/16 is assumed" in n for n in given.notes
    )
    odd = read(tmp_path, node("n1", "192.168.7.1", "10.9.16.0/24"), service("a", "10.7.1.9", HTTPS))
    assert laid_out(odd).cluster_cidr.supernet_of(laid_out(odd).nodes[0].pod_cidr)
    wide = {**HTTPS, "nodePort": 20000}
    given = read(tmp_path, k3s, api, service("b", "10.43.0.2", wide, type="NodePort"))
    assert given.cluster.node_port_range == (20000, 32767)


FLANNEL = {"flannel.alpha.coreos.com/backend-type": "vxlan"}
FLANNEL |= {"flannel.alpha.coreos.com/backend-data": '{"VNI":7,"VtepMAC":"aa:bb:cc:dd:ee:ff"}'}


@pytest.mark.parametrize(
    ("annotations", "objects", "wanted"),
    [
        (FLANNEL, [], Named("flannel-vxlan", {"vni": 7})),
        (
            {"flannel.alpha.coreos.com/backend-type": "host-gw"},
            [],
            Named("flannel-host-gw", {}),
        ),
        (
            FLANNEL,
            [{"net-conf.json": '{"Backend": {"Type": "udp", "Port": 9, "MTU": 1400}}'}],
            Named("flannel-udp", {"port": 9, "mtu": 1400, "rules": "iptables"}),
        ),
        (
            {"projectcalico.org/IPv4Address": "10.1.0.1/16"},
            [],
            Named("calico-bgp", {}),
        ),
        (
            {
                "projectcalico.org/IPv4Address": "10.1.0.1/16",
                "projectcalico.org/IPv4VXLANTunnelAddr": "10.244.9.64",
            },
            [],
            Named("calico-vxlan", {"tunnels": ("10.244.9.64",)}),
        ),
        (
            {
                "network.cilium.io/ipv4-pod-cidr": "10.244.3.0/24",
                "network.cilium.io/ipv4-cilium-host": "10.244.3.7",
            },
            [],
            Named("cilium-vxlan", {"routers": ("10.244.3.7",)}),
        ),
        ({}, [], Named("flannel-vxlan", {})),
    ],
)
def test_dataplanes_are_known_by_what_their_agents_write(
    tmp_path: Path, annotations: dict[str, str], objects: list[dict[str, str]], wanted: Named
) -> None:
    own = node("n1", "10.1.0.1", "10.244.0.0/24", annotations=annotations)
    maps = [config_map("kube-flannel-cfg") | {"data": data} for data in objects]
    given = read(tmp_path, own, *maps)
    assert given.cluster.dataplane == wanted
    assert laid_out(given).nodes[0].name == "n1"
    assert ("not to be known" in str(given.notes)) is (not annotations)
    if "projectcalico.org/IPv4Address" in annotations:
        assert given.cluster.underlay == "10.1.0.0/16"


def test_nodes_of_several_networks_are_on_segments_unless_their_dataplane_cannot(
    tmp_path: Path,
) -> None:
    two = [node(f"n{k}", f"10.1.{k}.5", f"10.244.{k}.0/24") for k in (1, 2)]
    assert read(tmp_path, *two).cluster.underlay == ("10.1.1.0/24", "10.1.2.0/24")
    for one in two:
        one["metadata"]["annotations"] = {"flannel.alpha.coreos.com/backend-type": "host-gw"}
    assert read(tmp_path, *two).cluster.underlay == "10.1.0.0/22"
    at_its_end = [node("n1", "10.1.1.254"), node("n2", "10.1.1.7")]
    given = read(tmp_path, *at_its_end)
    assert given.cluster.underlay == "10.1.0.0/22"  # 10.1.1.254 ends the /23 too
    assert laid_out(given, underlay="10.1.0.0/16").nodes[0].subnet.network.prefixlen == 16


def test_endpoints_with_the_network_of_their_node_are_the_node(tmp_path: Path) -> None:
    proxy = {"labels": {"app": "edge"}, "namespace": "edge"}
    items = [
        node("n1", "192.168.7.1", "10.244.0.0/24"),
        node("n2", "192.168.7.2", "10.244.1.0/24"),
        pod("edge-1", "n2", "192.168.7.2", ("http", 8443, "TCP"), host=True, **proxy),
        service("edge", "10.96.0.7", WEB, namespace="edge", selector={"app": "edge"}),
    ]
    ports = [{"name": "", "port": 8443, "protocol": "TCP"}]
    for more in ([], [endpoints("edge", ports, "192.168.7.2", namespace="edge")]):
        layout = laid_out(read(tmp_path, *items, *more))
        edge = next(one for one in layout.services if one.name == "edge")
        assert [(e.target, str(e)) for e in edge.ports[0].endpoints] == [("n2", "192.168.7.2:8443")]
        assert [(c.name, c.port) for c in layout.node("n2").containers] == [("edge-8443", 8443)]
        assert layout.pods == ()


def test_slices_have_the_last_word_on_endpoints(tmp_path: Path) -> None:
    web = [
        pod(f"web-{k}", "n1", f"10.244.0.{k}", ("http", 80, "TCP"), labels={"app": "web"})
        for k in (2, 3)
    ]
    of_web = service("web", "10.96.0.9", WEB, selector={"app": "web"})
    port = [{"name": "", "port": 80, "protocol": "TCP"}]
    given = read(tmp_path, *ONE_NODE, *web, of_web, endpoints("web", port, "10.244.0.3", "8.8.8.8"))
    [found] = [one for one in given.cluster.services if one.name == "web"]
    assert (found.pods, found.selector) == (("web-3",), ())
    assert any("not the pods that its selector matches" in n for n in given.notes)
    assert any("8.8.8.8" in n for n in given.notes)
    web[0]["status"]["conditions"] = [{"type": "Ready", "status": "False"}]
    [found] = [
        one for one in read(tmp_path, *ONE_NODE, *web, of_web).cluster.services if one.name == "web"
    ]
    assert (found.selector, found.unready) == (("app=web",), ("web-2",))


def test_an_address_that_a_pod_cannot_have_is_said(tmp_path: Path) -> None:
    given = read(tmp_path, *ONE_NODE, pod("a", "n1", "10.244.0.1"), pod("b", "n1", "10.244.0.9"))
    assert [str(p.address) for p in laid_out(given).pods] == ["10.244.0.2", "10.244.0.9"]
    assert any("default/a gets another address than 10.244.0.1" in n for n in given.notes)
    moved = read(tmp_path, *ONE_NODE, pod("a", "n1", "10.244.5.7"))
    assert str(laid_out(moved).nodes[0].pod_cidr) == "10.244.5.0/24"


def test_what_a_user_sets_applies_on_top(tmp_path: Path) -> None:
    given = read(tmp_path, *dumps.kubespray())
    changed = design(given, {"dataplane": "cilium-native", "proxy": "nftables"})
    assert (changed.dataplane.name, changed.proxy and changed.proxy.name) == (
        "cilium-native",
        "nftables",
    )
    assert changed.layout.nodes[0].reserved == laid_out(given).nodes[0].reserved
    with pytest.raises(BadInput, match="their number cannot be set"):
        design(given, {"nodes": 2})


def test_a_dump_of_megabytes_takes_little_time(tmp_path: Path) -> None:
    items = [node(f"n{k}", f"10.1.0.{k + 1}", f"10.244.{k}.0/24") for k in range(40)]
    items += [
        pod(f"web-{k}-{j}", f"n{k}", f"10.244.{k}.{j + 2}", ("http", 80, "TCP"))
        for k in range(40)
        for j in range(90)
    ]
    path = tmp_path / "large.yaml"
    path.write_text(dumps.text(items))
    given = source(str(path))
    assert len(given.text) > 1_500_000
    before = time.process_time()
    assert sum(1 for _ in documents(given)) == 1
    assert time.process_time() - before < 1.5
