"""Topologies with the real types of parts that `netlab.topology.loader` knows only by name."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from netlab.dataplane import DATAPLANES
from netlab.plan.dataplane import Dataplane
from netlab.plan.proxy import Proxy
from netlab.proxy import DEFAULT as DEFAULT_PROXY
from netlab.proxy import PROXIES
from netlab.topology import loader
from netlab.topology.kubectl import Read
from netlab.topology.model import AnyDataplane, Cluster, Named

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A topology that was read. `cluster` has `dataplane` and `proxy`, here with their real types.

    `proxy` is None where nothing on the nodes handles Services.
    """

    name: str
    cluster: Cluster
    dataplane: Dataplane
    proxy: Proxy | None


def loaded(name: str, cluster: Cluster) -> Loaded:
    """The cluster with its dataplane and proxy made and checked. Raises BadInput."""
    dataplane, proxy = DATAPLANES.value(cluster.dataplane), proxy_of(cluster)
    cluster = dataclasses.replace(cluster, dataplane=dataplane, proxy=proxy)
    return Loaded(name, cluster, dataplane, proxy)


def proxy_of(cluster: Cluster) -> Proxy | None:
    """The proxy of a cluster; where it has Services and names none, kube-proxy's default mode.

    Raises BadInput.
    """
    if cluster.proxy is not None:
        return PROXIES.value(cluster.proxy)
    return PROXIES.make(DEFAULT_PROXY) if cluster.services else None


def guarded(dataplane: Dataplane, proxy: Proxy | None, work: Callable[[], T]) -> T:
    """Do work that calls both; what a stranger's raises becomes one sentence."""
    inner = functools.partial(PROXIES.guarded, proxy, work) if proxy else work
    return DATAPLANES.guarded(dataplane, inner)


def load_topology(
    name: str,
    *,
    nodes: int | None = None,
    pods_per_node: int | None = None,
    settings: Mapping[str, str] = loader.NO_SETTINGS,
) -> Loaded:
    """Run a topology's file, by name or path, and apply what the user set.

    Settings are those of `netlab.topology.loader.load`, and `dataplane.OPTION` for a field of the
    dataplane, `proxy.OPTION` for one of the proxy. Raises BadInput.
    """

    def load(rest: Mapping[str, str]) -> Cluster:
        return loader.load(
            name,
            nodes=nodes,
            pods_per_node=pods_per_node,
            settings=rest,
            more_options=_options,
        )

    return _with_parts(loader.find(name).stem, settings, load)


def load_read(given: Read, settings: Mapping[str, str] = loader.NO_SETTINGS) -> Loaded:
    """As `load_topology`, for a cluster that was read from kubectl's files.

    Another dataplane of the same family keeps what is known of the nodes. Raises BadInput.
    """

    def load(rest: Mapping[str, str]) -> Cluster:
        cluster = loader.with_settings(given.name, given.cluster, rest, _options)
        return dataclasses.replace(cluster, dataplane=_same_family(given.cluster, cluster))

    return _with_parts(given.name, settings, load)


def _same_family(before: Cluster, cluster: Cluster) -> AnyDataplane | Named | str:
    """The dataplane that was set, with the options that it shares with the one that was read."""
    chosen, read = cluster.dataplane, before.dataplane
    if not isinstance(chosen, str) or not isinstance(read, Named):
        return chosen
    kind = DATAPLANES.lookup(chosen)
    if kind is None or chosen.partition("-")[0] != read.name.partition("-")[0]:
        return chosen
    fields = {field.name for field in dataclasses.fields(kind)}
    return Named(chosen, {key: one for key, one in read.options.items() if key in fields})


def _with_parts(
    name: str, settings: Mapping[str, str], load: Callable[[Mapping[str, str]], Cluster]
) -> Loaded:
    """A topology with the settings for its parts, which `load` gets no word of."""
    dataplanes = _own(settings, DATAPLANES.prefix)
    proxies = _own(settings, PROXIES.prefix)
    cluster = load({k: t for k, t in settings.items() if k not in {**dataplanes, **proxies}})
    found = loaded(name, cluster)
    dataplane = DATAPLANES.with_options(found.dataplane, dataplanes)
    proxy = found.proxy
    if proxies:
        proxy = PROXIES.with_options(proxy or PROXIES.make(DEFAULT_PROXY), proxies)
    return loaded(found.name, dataclasses.replace(cluster, dataplane=dataplane, proxy=proxy))


def _own(settings: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {key: text for key, text in settings.items() if key.startswith(prefix)}


def _options(cluster: Cluster) -> dict[str, object]:
    """What can be set of the parts of a cluster."""
    found = loaded("", cluster)
    return {
        **DATAPLANES.options(found.dataplane),
        **(PROXIES.options(found.proxy) if found.proxy else {}),
    }
