"""The script of `netlab plan --sh`: its shape, and that nothing in a plan can break out of it."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab import Container, Node, Pod
from netlab.errors import BadInput
from netlab.plan.links import Bridge, Peer, Veth
from netlab.plan.processes import Container as ContainerProcess
from netlab.plan.processes import Daemon
from netlab.plan.routing import Address, Sysctl
from netlab.plan.shell import render
from netlab.plan.types import Namespace, Plan
from tests.unit.plans import DUAL_STACK, plan_of, space_with
from tests.unit.scripts import SERVER, check_syntax, script, script_with, section, words_for


@pytest.mark.parametrize("fields", [{}, DUAL_STACK], ids=["ipv4", "dual-stack"])
def test_it_is_valid_and_goes_into_namespaces_of_its_own_first(fields: dict[str, Any]) -> None:
    text = script(**fields)
    check_syntax(text)
    enter = text.index("exec unshare $as_root --mount --net --pid --fork --kill-child --mount-proc")
    assert text.startswith("#!/bin/sh\n")
    assert "set -eu\n" in text[:enter]
    assert re.search(r"^PATH=\$PATH:/usr/sbin:/sbin\nexport PATH$", text[:enter], re.MULTILINE)
    for command in ("\nmount ", "\nip -batch", "\nip -n", "\nbridge", "nft -f", "\nsettings "):
        assert text.index(command) > enter


def test_a_node_is_a_section_in_plain_commands() -> None:
    text = script(nodes=2, pods_per_node=1)
    mac = r"([0-9a-f]{2}:){5}[0-9a-f]{2}"
    for line in (
        "ip -n node-1 -batch - <<'END'",
        f"link add name cni0 address {mac} mtu 1450 txqueuelen 1000 type bridge",
        f"link add name flannel[.]1 address {mac} mtu 1450 txqueuelen 0 type vxlan id 1 "
        "dstport 8472 local 192.168.0.1 dev eth0 nolearning",
    ):
        assert re.search(f"^{line}$", section(text, "The other devices"), re.MULTILINE), line
    node = section(text, "node-1 (node)")
    for line in (
        "ip -n node-1 -batch - <<'END'",
        "link set dev lo up",
        "link set dev veth[0-9a-f]{8} master cni0",
        "link set dev veth[0-9a-f]{8} type bridge_slave hairpin on",
        "addr add 10.244.0.0/32 dev flannel.1",
        "addr add 10.244.0.1/24 brd [+] dev cni0",
        f"neigh add 10.244.1.0 lladdr {mac} dev flannel.1 nud permanent",
        "route add default via 192.168.0.254 dev eth0",
        "route add 10.244.1.0/24 via 10.244.1.0 dev flannel.1 onlink",
        f"fdb add {mac} dev flannel.1 dst 192.168.0.2 self permanent",
        "settings node-1 net/ipv6/conf/flannel.1/accept_ra=0 net/ipv6/conf/cni0/accept_ra=0",
        "ip netns exec node-1 nft -f - <<'END'",
        "table ip flannel-ipv4 {",
    ):
        assert re.search(f"^{line}$", node, re.MULTILINE), line


def test_a_dual_stack_node_s_own_lines() -> None:
    text = script(nodes=2, pods_per_node=1, **DUAL_STACK)
    mac = r"([0-9a-f]{2}:){5}[0-9a-f]{2}"
    for line in (
        f"link add name flannel-v6[.]1 address {mac} mtu 1430 txqueuelen 0 type vxlan id 1 "
        "dstport 8472 local fd30::1 dev eth0 nolearning",
        "addr add fd44::1/64 dev cni0 nodad",
        "addr add fe80::[0-9a-f:]+/64 dev cni0 scope link nodad",
        f"neigh add fd44:0:0:1:: lladdr {mac} dev flannel-v6.1 nud permanent",
        "route add fd44:0:0:1::/64 via fd44:0:0:1:: dev flannel-v6.1 onlink metric 1024",
        "route add ::/0 via fd44:0:0:1::1 dev eth0 metric 1024",
        f"fdb add {mac} dev flannel-v6.1 dst fd30::2 self permanent",
        "table bridge netlab {",
    ):
        assert re.search(f"^{line}$", text, re.MULTILINE), line


def test_settings_which_are_not_a_device_s_come_before_any_device() -> None:
    text = script(**DUAL_STACK)
    first = text.index("\nlink add ")
    for setting in (
        "net/ipv6/conf/all/disable_ipv6=1",
        "net/ipv4/ip_forward=1",
        "net/ipv6/conf/all/forwarding=1",
        "net/ipv6/conf/default/addr_gen_mode=1",
    ):
        assert text.rindex(setting) < first
    for setting in ("conf/cni0/accept_ra=0", "conf/eth0/arp_notify=1"):
        assert text.index(setting) > first


def test_pods_make_no_link_local_address_by_themselves() -> None:
    assert "settings pod-1-1 net/ipv6/conf/default/addr_gen_mode=1\n" in script()


def test_every_cable_is_made_once() -> None:
    plan = plan_of("flannel-vxlan", underlay=["10.1.0.0/24", "10.2.0.0/24"])
    cables = section(render(plan, SERVER), "The cables")
    ends = [
        (s.name, x.name) for s in plan.namespaces.values() for x in s.links if isinstance(x, Veth)
    ]
    assert cables.count("\nlink add ") * 2 == len(ends)
    for space, device in ends:
        assert len(re.findall(rf"(?:add|peer) name {device} netns {space} ", cables)) == 1


@pytest.mark.parametrize("peer", [None, Peer("a", "gone"), Peer("gone", "eth0")])
def test_a_cable_with_one_end_is_refused_and_not_left_out(peer: Peer | None) -> None:
    with pytest.raises(BadInput, match="other end of veth1 in a is in no namespace of the script"):
        script_with(Veth(name="veth1", peer=peer))


def test_a_name_is_never_where_ip_looks_for_a_keyword() -> None:
    text = script(nodes=[Node("up"), Node("master")], pods_per_node=1)
    lines = [line for line in text.splitlines() if line.startswith("link ")]
    assert all(re.match(r"link (add name|set dev) [^ ]+ ", line) for line in lines)
    assert all("type veth peer name " in line for line in lines if "type veth" in line)
    assert "link set dev up master br0" in lines
    assert "link set dev master up" in lines


@pytest.mark.parametrize(("length", "broadcast"), [(24, True), (30, True), (31, False)])
def test_broadcast_address(length: int, broadcast: bool) -> None:
    text = script_with(Address("eth0", f"10.0.0.0/{length}"))
    assert (f"addr add 10.0.0.0/{length} brd + dev eth0" in text) is broadcast


def test_only_what_is_needed_is_asked_for() -> None:
    assert "for tool in ip bridge unshare nft hostname python3; do" in script()
    bare = script(containers=0, external=False)
    assert "for tool in ip bridge unshare nft; do" in bare
    assert "server.py" not in bare
    assert "container()" not in bare
    assert "daemon()" not in script()


def test_the_server_is_embedded_as_it_is() -> None:
    source = "a = '$HOME `id` \\\\'\nEND\nEND_\nprint(a)\n"
    text = render(plan_of("flannel-vxlan", nodes=1), source)
    check_syntax(text)
    assert f"cat > \"$dir/server.py\" <<'END__'\n{source}END__\n" in text


def test_a_default_container_runs_the_server_with_its_names_and_ports() -> None:
    lines = [line for line in script(nodes=1).splitlines() if line.startswith("container pod-1-2 ")]
    assert words_for("container", lines[1]) == [
        [
            *("pod-1-2", "container-2", "pod-1-2", "python3", "/d/server.py"),
            *("--pod", "pod-1-2", "--container", "container-2"),
            *("--port", "8081", "--local-port", "10003"),
        ]
    ]


@given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8")), min_size=1))
def test_any_command_arrives_word_by_word(command: list[str]) -> None:
    pods = [Pod("p", (Container("c", tuple(command)),))]
    text = script(nodes=[Node(pods=pods)])
    start = text.index("\ncontainer p ") + 1
    line = text[start : text.index("\nlistening external")]
    assert words_for("container", line) == [["p", "c", "p", *command]]


@pytest.mark.parametrize("text", ["$(id)", "a\nb", "'", "#", "END\nid", "a b", "-a", ""])
def test_odd_text_is_quoted_or_refused(text: str) -> None:
    quoted = space_with(Sysctl("net/x", text), ContainerProcess("d", text, (text,)))
    rendered = render(Plan(text, (), {"a": quoted}), "")
    check_syntax(rendered)
    start = rendered.index("\ncontainer a ") + 1
    line = rendered[start : rendered.index("\n# ==== Ready")]
    assert words_for("container", line) == [["a", "d", text, text]]
    for space in (
        Namespace(text, "node"),
        space_with(Bridge(name=text, mac="02:00:00:00:00:01")),
        space_with(ContainerProcess(text, "h", ("true",))),
        space_with(Daemon(name=text, command=("true",))),
    ):
        with pytest.raises(BadInput, match="cannot be put into a script"):
            render(Plan("x", (), {space.name: space}), "")
