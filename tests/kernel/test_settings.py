"""Settings under /proc/sys/net: what is neither planned nor as in a new namespace is drift."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import netlab
from netlab.kernel.pyroute import DEVCONF, DEVCONF6
from netlab.kernel.settings import SMALL
from netlab.kernel.settings.of_devices import PARAMETERS
from netlab.plan.routing import Sysctl
from netlab.running import Lab
from tests.kernel.conftest import Netlab, remove, untouched

# Each is written in the place; `diff` must name the path.
ALTERED = {
    "filters all": ("node-1", "net/ipv4/conf/all/rp_filter", "1"),
    "deaf to ARP": ("node-1", "net/ipv4/conf/all/arp_ignore", "8"),
    "ARP filter": ("node-1", "net/ipv4/conf/all/arp_filter", "1"),
    "proxy of all": ("node-1", "net/ipv4/conf/all/proxy_arp", "1"),
    "routes localnet": ("node-1", "net/ipv4/conf/all/route_localnet", "1"),
    "no redirects": ("node-1", "net/ipv4/conf/all/send_redirects", "0"),
    "new devices": ("node-1", "net/ipv4/conf/default/rp_filter", "2"),
    "TTL": ("node-1", "net/ipv4/ip_default_ttl", "3"),
    "ports": ("node-1", "net/ipv4/ip_local_port_range", "1024 2048"),
    "deaf to echo": ("node-1", "net/ipv4/icmp_echo_ignore_all", "1"),
    "core": ("node-2", "net/core/somaxconn", "7"),
    "conntrack": ("node-2", "net/netfilter/nf_conntrack_tcp_timeout_established", "5"),
    "local socket": ("node-1", "net/unix/max_dgram_qlen", "1"),
    "switch": ("underlay", "net/ipv4/conf/all/arp_ignore", "1"),
    "client": ("external", "net/ipv4/tcp_window_scaling", "0"),
    "neighbours": ("node-1", "net/ipv4/neigh/eth0/base_reachable_time_ms", "1000"),
    "slow to ask": ("pod-1-1", "net/ipv4/neigh/eth0/delay_first_probe_time", "60"),
    "device": ("node-1", "net/ipv4/conf/eth0/drop_unicast_in_l2_multicast", "1"),
    "IPsec refused": ("node-1", "net/ipv4/conf/eth0/disable_policy", "1"),
    "no IPv6": ("node-1", "net/ipv6/conf/eth0/disable_ipv6", "1"),
    "small IPv6 MTU": ("node-1", "net/ipv6/conf/eth0/mtu", "1300"),
    "hops": ("pod-1-1", "net/ipv6/conf/eth0/hop_limit", "2"),
    "solicits slowly": ("node-1", "net/ipv6/conf/eth0/router_solicitation_interval", "9"),
    "IPv6 neighbours": ("node-1", "net/ipv6/neigh/eth0/ucast_solicit", "1"),
    "IPv6 of all": ("node-1", "net/ipv6/conf/all/accept_ra", "2"),
    "IPv6 echo": ("node-1", "net/ipv6/icmp/echo_ignore_all", "1"),
    "pod TTL": ("pod-1-1", "net/ipv4/ip_default_ttl", "3"),
    "pod forwards": ("pod-1-1", "net/ipv4/ip_forward", "1"),
    "pod off the list": ("pod-1-1", "net/ipv4/tcp_retries2", "3"),
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    yield from made(tmp_path_factory.mktemp("settings") / "state", "flannel-dual-stack")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab in which not all settings of pods are looked at."""
    yield from made(tmp_path_factory.mktemp("large") / "state", "flannel-host-gw", SMALL // 2)


def made(state: Path, topology: str, pods: int = 1) -> Iterator[Lab]:
    untouched()
    before = os.environ.get("NETLAB_STATE")
    os.environ["NETLAB_STATE"] = str(state)
    try:
        with netlab.up(topology, nodes=2, pods_per_node=pods, containers=0) as lab:
            yield lab
    finally:
        os.environ.pop("NETLAB_STATE")
        if before is not None:
            os.environ["NETLAB_STATE"] = before
        remove(Netlab(state))


def alter(lab: Lab, where: str, path: str, value: str) -> None:
    done = lab.target(where).run("sh", "-c", f"echo {value} > /proc/sys/{path}")
    assert done.code == 0, done.stderr


def drift(lab: Lab, *, all_settings: bool = False) -> list[tuple[str, str]]:
    """Where and which settings are not as planned or as in a new namespace."""
    found = lab.diff(all_settings=all_settings)
    pairs = [(item.namespace, item.object) for item in found.unexpected]
    pairs += [(change.namespace, change.have) for change in found.changed]
    return [(name, str(item)) for name, item in pairs if isinstance(item, Sysctl)]


@pytest.mark.parametrize("name", ALTERED)
def test_a_setting_that_somebody_altered_is_seen_and_put_back(lab: Lab, name: str) -> None:
    where, path, value = ALTERED[name]
    before = lab.target(where).run("cat", f"/proc/sys/{path}").stdout
    alter(lab, where, path, value)
    assert drift(lab) == [(where, f"sysctl {path}={value}")]
    lab.repair()
    assert lab.diff().ok
    assert lab.target(where).run("cat", f"/proc/sys/{path}").stdout == before


def test_all_at_once_are_put_back_by_one_repair(lab: Lab) -> None:
    for where, path, value in ALTERED.values():
        alter(lab, where, path, value)
    wanted = {(where, f"sysctl {path}={value}") for where, path, value in ALTERED.values()}
    assert set(drift(lab)) == wanted
    lab.repair()
    assert lab.diff().ok


def test_what_the_kernel_copies_is_named_once(lab: Lab) -> None:
    """Forwarding of a whole namespace sets it of each of its devices."""
    alter(lab, "node-1", "net/ipv6/conf/all/forwarding", "0")
    assert drift(lab) == [("node-1", "sysctl net/ipv6/conf/all/forwarding=0")]
    lab.repair()
    assert lab.diff().ok


def test_a_namespace_made_anew_has_a_baseline_of_its_own(lab: Lab) -> None:
    lab.attach("ip", "netns", "delete", "pod-1-1")
    lab.repair()
    assert lab.diff().ok
    alter(lab, "pod-1-1", "net/ipv4/ip_default_ttl", "3")
    assert drift(lab) == [("pod-1-1", "sysctl net/ipv4/ip_default_ttl=3")]
    lab.repair()


def test_the_baseline_is_the_lab_s_and_not_the_kernel_s_of_now(lab: Lab) -> None:
    """It is stored with the plan, and made again where it is lost."""
    (lab.folder.folder / "baselines.json").unlink()
    assert lab.diff().ok
    lab.repair()
    assert (lab.folder.folder / "baselines.json").exists()


def test_of_a_large_lab_s_pods_a_short_list_is_compared_and_the_rest_said(large: Lab) -> None:
    pod = large.layout.pods[0].name
    alter(large, pod, "net/ipv4/ip_default_ttl", "3")
    alter(large, pod, "net/ipv4/tcp_retries2", "3")
    listed = (pod, "sysctl net/ipv4/ip_default_ttl=3")
    assert drift(large) == [listed]
    assert any("--all-settings" in item.why for item in large.diff().not_compared)
    assert drift(large, all_settings=True) == [listed, (pod, "sysctl net/ipv4/tcp_retries2=3")]
    assert not any("--all-settings" in str(x) for x in large.diff(all_settings=True).not_compared)
    large.repair()
    assert large.diff(all_settings=True).ok


def test_failed_checks_bring_a_closer_look_and_then_one_up_repairs(large: Lab) -> None:
    """A pod that may send no echo reply, by settings that are not on the short list."""
    pod = large.layout.pods[0].name
    for key, value in (("msgs_burst", "0"), ("msgs_per_sec", "0"), ("ratemask", "1")):
        alter(large, pod, f"net/ipv4/icmp_{key}", value)
    assert drift(large) == []
    report = large.verify(sample=1)
    assert report.drifted
    assert any(f"icmp_{key}" in check.target for check in report.failed for key in ("ratemask",))
    assert large.checks_failed
    large.repair()
    assert large.diff(all_settings=True).ok


def test_every_file_of_a_device_is_told_or_stated(lab: Lab) -> None:
    """What netlink tells of a device are the files of /proc, but for those that nobody tells."""
    untold = {"ra_honor_pio_life", "ra_honor_pio_pflag", "regen_min_advance"}
    twice = {"base_reachable_time", "retrans_time", "unres_qlen"}
    for folder, told in (
        ("ipv4/conf", set(DEVCONF)),
        ("ipv6/conf", set(DEVCONF6) | untold),
        ("ipv4/neigh", set(PARAMETERS) | twice),
        ("ipv6/neigh", set(PARAMETERS) | twice),
    ):
        done = lab.target("node-1").run("ls", f"/proc/sys/net/{folder}/eth0")
        assert set(done.stdout.split()) == told, folder
