"""Calico with two route reflectors in place of the mesh; `--set dataplane.reflectors=1`."""

from netlab import Cluster, calico

topology = Cluster(nodes=4, pods_per_node=2, dataplane=calico.RouteReflectors(reflectors=2))
