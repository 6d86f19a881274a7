"""`netlab plan --sh` on the real kernel: the script builds the plan, and the same as `netlab up`.

What `ip`, `bridge` and `nft` show is compared: tools that know neither netlab's planner nor its
observer.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netlab.designing import design, without
from netlab.kernel.capabilities import missing
from netlab.kernel.lab import LabFolder
from netlab.kernel.processes.containers import server_source
from netlab.plan.links import FALLBACK_DEVICES
from netlab.plan.shell import render
from netlab.plan.types import Namespace, Plan
from tests.kernel import host

pytestmark = pytest.mark.needs("veth", "bridge", "vxlan", "nftables-masquerade")

Dump = dict[str, dict[str, Any]]
# Run where the lab's names are: prints what the tools show of each namespace. $SYSCTLS names
# settings to read, as JSON {namespace: [path]}.
DUMP = """
import json, os, subprocess, time
tools = {
    "link": "ip -n {} -j -d link",
    "address": "ip -n {} -j address",
    "route": "ip -n {} -j -d route show table all",
    "neighbour": "ip -n {} -j neigh show nud permanent",
    "fdb": "bridge -n {} -j -d fdb",
    "port": "bridge -n {} -j -d link",
    "rules": "ip netns exec {} nft -j list ruleset",
}
def run(words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout
def settled(name):
    links = json.loads(run(tools["link"].format(name).split()) or "[]")
    return not any(link.get("linkinfo", {}).get("info_kind") == "veth"
                   and "UP" in link["flags"] and link["operstate"] != "UP" for link in links)
sysctls = json.loads(os.environ["SYSCTLS"])
result = {}
# The kernel's link watch may take a second to see that a device is up.
deadline = time.monotonic() + 5
while not all(map(settled, os.listdir("/run/netns"))) and time.monotonic() < deadline:
    time.sleep(0.05)
for name in os.listdir("/run/netns"):
    result[name] = {key: json.loads(run(tool.format(name).split()) or "[]")
                    for key, tool in tools.items()}
    paths = ["/proc/sys/" + path for path in sysctls.get(name, [])]
    values = run(["ip", "netns", "exec", name, "cat", *paths]).split() if paths else []
    result[name]["sysctl"] = dict(zip(sysctls.get(name, []), values))
print(json.dumps(result))
"""
# What differs between two labs of one plan: numbers the kernel draws, time, and, in `bridge link`,
# a name that the tool looks up in the wrong namespace.
DRAWN = {"ifindex", "link_index", "link_netnsid", "handle", "metainfo", "link"}
TIMERS = ("_timer", "_timer_value")

# Prints what each of the given URLs answers.
ASK = """
import sys, urllib.request
for url in sys.argv[1:]:
    print(urllib.request.urlopen(url, timeout=5).read().decode(), end="")
"""


def plan_of(topology: str, **settings: str) -> Plan:
    found = design(topology, {k.replace("__", "."): v for k, v in settings.items()})
    return without(found, missing(found.dataplane.spares)).plan


@pytest.fixture
def plan() -> Plan:
    return plan_of("flannel-vxlan", nodes="2")


def write(plan: Plan, folder: Path) -> list[str]:
    """The command that runs the plan's script."""
    path = folder / "lab.sh"
    path.write_text(render(plan, server_source()))
    return ["sh", str(path)]


def dump(plan: Plan, enter: list[str]) -> Dump:
    """What the tools show in a lab of the plan, which `enter` leads into."""
    sysctls = {name: [s.path for s in space.sysctls] for name, space in plan.namespaces.items()}
    output = subprocess.run(
        [*enter, sys.executable, "-c", DUMP],
        env={**os.environ, "SYSCTLS": json.dumps(sysctls)},
        stdout=subprocess.PIPE,
        check=True,
        timeout=60,
    ).stdout
    result: Dump = json.loads(output)
    return result


def normal(value: Any) -> Any:
    """Without what is drawn or counts time, and in a fixed order; rules keep theirs."""
    if isinstance(value, dict):
        return {
            key: normal(item)
            for key, item in value.items()
            if key not in DRAWN and not key.endswith(TIMERS)
        }
    return [normal(item) for item in value] if isinstance(value, list) else value


def comparable(lab: Dump) -> dict[str, Any]:
    return {
        f"{name}: {key}": normal(shown)
        if key == "rules"
        else sorted(map(json.dumps, map(normal, shown)))
        for name, space in lab.items()
        for key, shown in space.items()
    }


def shown_links(space: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
    return {
        link["ifname"]: (
            link["linkinfo"]["info_kind"],
            link["address"],
            link["mtu"],
            "UP" in link["flags"],
            link.get("master"),
            link["linkinfo"].get("info_slave_data", {}).get("hairpin", False),
            link.get("txqlen", 0),
        )
        for link in space["link"]
        if link["ifname"] not in {"lo", *FALLBACK_DEVICES}
    }


def wanted_links(space: Namespace) -> dict[str, tuple[Any, ...]]:
    return {
        link.name: (
            link.kind,
            link.mac,
            link.mtu,
            link.up,
            link.master,
            link.bridge_port is not None and link.bridge_port.hairpin,
            link.txqlen,
        )
        for link in space.links
        if link.kind != "loopback"
    }


def test_the_script_builds_what_the_plan_says(plan: Plan, tmp_path: Path) -> None:
    lab = dump(plan, write(plan, tmp_path))
    assert lab.keys() == plan.namespaces.keys()
    for name, want in plan.namespaces.items():
        have = lab[name]
        assert shown_links(have) == wanted_links(want)
        assert {
            f"{a['local']}/{a['prefixlen']} dev {link['ifname']}"
            for link in have["address"]
            for a in link["addr_info"]
            if link["ifname"] != "lo"
        } == {address.key for address in want.addresses if address.link != "lo"}
        assert {
            (r["dst"], r["dev"], r.get("gateway"), "onlink" in r["flags"])
            for r in have["route"]
            if r.get("table", "main") == "main"
            and r["protocol"] != "kernel"
            and ":" not in r["dst"]
        } == {
            (
                r.destination.replace("0.0.0.0/0", "default"),
                r.link,
                r.gateway,
                r.next_hops[0].onlink,
            )
            for r in want.routes
            if not r.connected
        }
        assert {(n["dev"], n["dst"], n["lladdr"]) for n in have["neighbour"]} == {
            (n.link, n.address, n.mac) for n in want.neighbours
        }
        assert {(f["ifname"], f["mac"], f["dst"]) for f in have["fdb"] if "dst" in f} == {
            (f.link, f.mac, f.destination) for f in want.fdb
        }
        assert have["sysctl"] == {s.path: s.value for s in want.sysctls}
        tables = [e["table"] for e in have["rules"]["nftables"] if "table" in e]
        assert [(t["family"], t["name"]) for t in tables] == [
            (t.family, t.name) for t in want.ruleset
        ]


def test_tunnel_and_rules_are_those_of_flannel(plan: Plan, tmp_path: Path) -> None:
    node = dump(plan, write(plan, tmp_path))["node-1"]
    [vxlan] = [x["linkinfo"]["info_data"] for x in node["link"] if x["ifname"] == "flannel.1"]
    assert (vxlan["id"], vxlan["port"], vxlan["local"]) == (1, 8472, "192.168.0.1")
    assert (vxlan["link"], vxlan["learning"]) == ("eth0", False)
    rules = [entry["rule"] for entry in node["rules"]["nftables"] if "rule" in entry]
    assert [rule["chain"] for rule in rules] == ["postrtg"] * 6 + ["forward"] * 2
    assert [list(rule["expr"][-1]) for rule in rules] == (
        [["return"]] * 4 + [["masquerade"]] * 2 + [["accept"]] * 2
    )


@pytest.fixture
def lab_of_up(plan: Plan) -> Iterator[list[str]]:
    """The command that leads into a lab of the plan built by `netlab up`."""
    name = f"plan-sh-{os.getpid()}"
    netlab = [sys.executable, "-m", "netlab", "-l", name]
    subprocess.run([*netlab, "up", plan.topology, "--nodes", "2", "--no-verify"], check=True)
    try:
        keeper = LabFolder(name).keeper
        assert keeper
        yield ["nsenter", "--target", str(keeper.pid), "--mount", "--net", "--pid"]
    finally:
        subprocess.run([*netlab, "down"], check=True)


def test_the_script_and_netlab_up_build_the_same(
    plan: Plan, tmp_path: Path, lab_of_up: list[str]
) -> None:
    by_script = comparable(dump(plan, write(plan, tmp_path)))
    by_engine = comparable(dump(plan, lab_of_up))
    assert by_script.keys() == by_engine.keys()
    for where, shown in by_script.items():
        assert by_engine[where] == shown, where


@pytest.mark.parametrize(
    ("topology", "settings"),
    [
        ("flannel-host-gw", {}),
        ("flannel-vxlan-l3", {"dataplane__direct_routing": "true"}),
        ("seed-example", {}),
        ("flannel-udp", {}),
        ("calico-bgp", {}),
        ("calico-ipip", {}),
        ("calico-vxlan", {}),
        ("cilium-vxlan", {}),
        ("cilium-native", {}),
    ],
)
def test_pods_of_every_shipped_topology_reach_each_other(
    topology: str, settings: dict[str, str], tmp_path: Path
) -> None:
    plan = plan_of(topology, **settings)
    targets = [
        space.addresses[0].address.split("/")[0]
        for space in plan.namespaces.values()
        if space.role == "pod"
    ]
    answers = asked(plan, tmp_path, [f"http://{target}:8080" for target in targets])
    pods = [name for name, space in plan.namespaces.items() if space.role == "pod"]
    assert answers == pods


def asked(plan: Plan, folder: Path, urls: list[str]) -> list[str]:
    """The pods that answer pod-1-1 in the script's lab."""
    inside = ("ip", "netns", "exec", "pod-1-1", sys.executable, "-c", ASK)
    output = subprocess.run(
        [*write(plan, folder), *inside, *urls],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout
    return [line.split()[0] for line in output.splitlines()]


@pytest.mark.parametrize("proxy", ["iptables", "nftables"])
def test_services_work_in_the_script_too(proxy: str, tmp_path: Path) -> None:
    wanted = design("services", {"proxy": proxy})
    ip = {one.name: one.cluster_ips for one in wanted.layout.services}
    urls = [f"http://{ip['web'][0]}"] * 10 + [f"http://{ip['near'][0]}"]
    answers = asked(wanted.plan, tmp_path, urls)
    assert set(answers) <= {pod.name for pod in wanted.layout.pods}
    assert len(set(answers)) > 1
    assert answers[-1] == "pod-1-1"


KEYWORDS = ("a", "dev", "down", "master", "mtu", "name", "netns", "peer", "type", "up")


def test_nodes_may_be_named_like_keywords_of_ip(tmp_path: Path) -> None:
    topology = tmp_path / "words.py"
    nodes = ", ".join(f"Node({name!r}, pods=1)" for name in KEYWORDS)
    topology.write_text(f"from netlab import Cluster, Node\ntopology = Cluster(nodes=[{nodes}])\n")
    plan = plan_of(str(topology))
    lab = dump(plan, write(plan, tmp_path))
    for name, want in plan.namespaces.items():
        assert shown_links(lab[name]) == wanted_links(want)
        assert len(lab[name]["route"]) > len(want.routes)


def test_the_tools_are_found_where_only_root_looks(plan: Plan, tmp_path: Path) -> None:
    command = [*write(plan, tmp_path), "sh", "-c", "command -v bridge"]
    result = subprocess.run(command, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.strip().endswith("/bridge")


def test_it_ends_with_the_command_s_status(plan: Plan, tmp_path: Path) -> None:
    command = write(plan, tmp_path)
    assert subprocess.run([*command, "sh", "-c", "exit 7"]).returncode == 7
    inner = [*command, "sh", "-c", 'exec sh "$0" sh -c "ip netns | wc -l"', command[1]]
    nested = subprocess.run(inner, capture_output=True, text=True, check=True)
    assert nested.stdout.strip() == str(len(plan.namespaces))


def test_the_host_is_left_as_it_was(plan: Plan, tmp_path: Path) -> None:
    before = host.snapshot()
    process = subprocess.Popen([*write(plan, tmp_path), "sleep", "60"])
    try:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while "sleep" not in _commands_below(children) and process.poll() is None:
            time.sleep(0.05)
        assert host.changes(before) == []
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert host.changes(before) == []


def _commands_below(children: Path) -> set[str]:
    """The names of a process's children and of theirs, and so on."""
    names: set[str] = set()
    with contextlib.suppress(OSError):  # one may end while it is looked at
        for pid in children.read_text().split():
            names.add(Path(f"/proc/{pid}/comm").read_text().strip())
            names |= _commands_below(Path(f"/proc/{pid}/task/{pid}/children"))
    return names


def test_it_refuses_to_be_piped_into_a_shell(plan: Plan, tmp_path: Path) -> None:
    script = Path(write(plan, tmp_path)[1]).read_text()
    result = subprocess.run(["sh"], input=script, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr == "Save this script in a file, and run that.\n"
