"""Which pairs are probed: all of a small lab, and a fixed sample of a large one."""

from __future__ import annotations

import itertools

import pytest

from netlab import Cluster
from netlab.plan.probing.sample import Sample, evenly_spaced, node_pairs, representatives
from netlab.topology.layout import lay_out
from netlab.topology.resolved import Layout

DEFAULT = Sample()


def layout(nodes: int, pods: int) -> Layout:
    return lay_out(Cluster(nodes=nodes, pods_per_node=pods))


def names(lab: Layout, sample: Sample = DEFAULT) -> list[tuple[str, str]]:
    return [(a.name, b.name) for a, b in sample.pod_pairs(lab)]


def all_names(lab: Layout) -> set[str]:
    return {pod.name for pod in lab.pods}


@pytest.mark.parametrize(("nodes", "pods"), [(1, 1), (3, 2), (16, 2), (1, 32)])
def test_a_small_lab_is_a_full_mesh(nodes: int, pods: int) -> None:
    lab = layout(nodes, pods)
    found = names(lab)
    assert len(found) == len(set(found))
    assert set(found) == set(itertools.permutations(all_names(lab), 2))


@pytest.mark.parametrize(("nodes", "pods"), [(3, 11), (10, 20), (4, 100)])
def test_a_larger_lab_covers_every_pod_both_ways_and_every_node_pair(nodes: int, pods: int) -> None:
    lab = layout(nodes, pods)
    pairs = DEFAULT.pod_pairs(lab)
    assert len(pairs) <= 1000
    assert all(a is not b for a, b in pairs)
    assert {a.name for a, _ in pairs} == {b.name for _, b in pairs} == all_names(lab)
    nodes_met = {(a.node, b.node) for a, b in pairs if a.node != b.node}
    assert nodes_met == set(itertools.permutations([node.name for node in lab.nodes], 2))
    assert any(a.node == b.node for a, b in pairs)


def test_a_very_large_lab_stays_within_the_budget() -> None:
    assert len(DEFAULT.pod_pairs(layout(64, 200))) == 1000


def test_the_sample_is_the_same_each_time() -> None:
    assert names(layout(10, 20)) == names(layout(10, 20))
    assert names(layout(10, 20), Sample(pairs=50)) == names(layout(10, 20), Sample(pairs=50))


def test_a_sample_has_the_asked_number_of_different_pairs() -> None:
    lab = layout(10, 20)
    found = names(lab, Sample(pairs=500))
    assert len(set(found)) == len(found) == 500
    assert all(a != b for a, b in found)


def test_a_sample_larger_than_the_lab_is_the_lab() -> None:
    assert len(names(layout(2, 2), Sample(pairs=500))) == 12


def test_full_is_everything() -> None:
    assert len(names(layout(5, 10), Sample(full=True))) == 50 * 49


def test_every_ordered_node_pair_up_to_sixteen_nodes() -> None:
    assert len(node_pairs(layout(16, 1).nodes)) == 16 * 15


def test_beyond_a_ring_and_as_many_again() -> None:
    lab = layout(20, 1)
    found = [(a.name, b.name) for a, b in node_pairs(lab.nodes)]
    assert len(set(found)) == len(found) == 40
    ring = {(f"node-{n}", f"node-{n % 20 + 1}") for n in range(1, 21)}
    assert ring <= set(found)


def test_representatives_are_round_robin() -> None:
    pairs = representatives(node_pairs(layout(3, 2).nodes))
    assert {a.name for a, _ in pairs} == {f"pod-{n}-{p}" for n in (1, 2, 3) for p in (1, 2)}


@pytest.mark.parametrize("count", [1, 3, 10, 20])
def test_evenly_spaced_is_even_and_in_order(count: int) -> None:
    found = evenly_spaced(range(10), count)
    assert found == sorted(set(found))
    assert len(found) == min(count, 10)
    assert found[0] == 0
