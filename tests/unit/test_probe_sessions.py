"""Sessions of tunnels that encrypt: which echo begins each, and who begins if that is lost."""

from __future__ import annotations

from collections.abc import Sequence

from netlab.plan.probing.actions import CapturedEcho, Echo, EchoReply
from netlab.plan.probing.lab import Lab
from netlab.probe.engines.sessions import establish, first_of_pairs
from tests.unit.labs import lab_of, probes
from tests.unit.plans import DUAL_STACK

LOST = EchoReply(error="no reply in 1.0 s", silent=True)
REFUSED = EchoReply(error="Required key not available")


def begun(lab: Lab) -> list[Echo]:
    return first_of_pairs(lab, [p.action for p in (*probes(lab, Echo), *probes(lab, CapturedEcho))])


def test_of_each_pair_of_nodes_one_begins() -> None:
    lab = lab_of("flannel-wireguard", nodes=4)
    pairs = [(echo.namespace, echo.target) for echo in begun(lab)]
    assert len(pairs) == 6, "of four nodes"
    nodes = [{source[4], str(int(target.split(".")[2]) + 1)} for source, target in pairs]
    assert all(nodes.count(pair) == 1 and len(pair) == 2 for pair in nodes)
    assert all(source.startswith("pod-") for source, _ in pairs)


def test_of_each_family_where_the_cluster_has_two() -> None:
    both = begun(lab_of("flannel-wireguard", nodes=3, **DUAL_STACK))
    assert sorted(echo.ipv6 for echo in both) == [False] * 3 + [True] * 3


def test_a_node_without_pods_begins_itself() -> None:
    lab = lab_of("flannel-wireguard", nodes=2)
    [echo] = first_of_pairs(lab, [Echo("node-1", "10.244.1.2"), Echo("external", "10.244.1.2")])
    assert echo.namespace == "node-1"
    later = [echo, Echo("pod-2-1", "10.244.0.2")]
    assert first_of_pairs(lab, later) == [Echo("pod-2-1", "10.244.0.2")], "a pod rather"


def test_where_nothing_is_encrypted_there_is_nothing_to_begin() -> None:
    assert begun(lab_of()) == []
    lab = lab_of("flannel-wireguard", nodes=2)
    near = [Echo("pod-1-1", "10.244.0.3"), Echo("pod-1-1", "10.244.1.2", wanted=False)]
    assert first_of_pairs(lab, [*near, Echo("pod-1-1", "192.168.0.2")]) == []


def test_what_is_lost_is_begun_from_the_other_end() -> None:
    lab = lab_of("flannel-wireguard", nodes=2)
    there, back = Echo("pod-1-1", "10.244.1.2"), Echo("pod-2-1", "10.244.0.2")
    from_node = Echo("node-1", "10.244.1.3")
    sent: list[Sequence[Echo]] = []

    def send(echoes: Sequence[Echo], waits: Sequence[float]) -> Sequence[EchoReply]:
        sent.append(echoes)
        return [REFUSED if echo is from_node else LOST for echo in echoes]

    establish(lab, [there, from_node], send)
    assert sent == [[there, from_node], [back], [there]], "time helps nobody who has no way"
    sent.clear()
    establish(lab, [there], lambda echoes, waits: [EchoReply(0.001, 62)])
    assert sent == []
