"""A BIRD in each node: it learns the ways to the others' pods by BGP, and writes them itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from netlab import Cluster, Dataplane
from netlab.dataplane.attach.bridge import Bridge
from netlab.plan.names import UPLINK
from netlab.plan.processes import Daemon, File, Owner, Ready
from netlab.plan.routing import route
from netlab.plan.types import Object
from netlab.topology.resolved import Layout, NodeSpec

CONFIG = """\
router id {address};
protocol device {{ scan time 2; }}
protocol static {{ ipv4; route {pods} blackhole; }}
filter to_kernel {{
  if source = RTS_STATIC then reject;
  krt_metric = 1024;
  accept;
}}
protocol kernel {{ learn; persist; scan time 2; metric 0;
  ipv4 {{ import none; export filter to_kernel; }}; }}
template bgp node {{
  local {address} as 64512; direct;
  hold time 3; keepalive time 1; connect delay time 1; connect retry time 1; error wait time 1, 2;
  ipv4 {{ import all; export where source = RTS_STATIC; gateway direct; next hop self; }};
}}
"""
PEER = """\
protocol bgp peer_{number} from node {{ neighbor {address} as 64512; }}
"""


@dataclass(frozen=True, slots=True)
class Bird(Dataplane):
    name: ClassVar[str] = "bird"

    def attach(self, layout: Layout, node: NodeSpec) -> Bridge:
        return Bridge(self.pod_mtu(layout))

    def node(self, layout: Layout, node: NodeSpec) -> Iterator[Object]:
        others = layout.others(node)
        config = CONFIG.format(address=node.address, pods=node.pod_cidr)
        config += "".join(
            PEER.format(number=number, address=other.address)
            for number, other in enumerate(others, 1)
        )
        yield Daemon(
            name="bird",
            command=("bird", "-f", "-c", "{folder}/bird.conf", "-s", "{folder}/bird.ctl"),
            files=(File("bird.conf", config),),
            ready=Ready(tcp=179, command=("birdc", "-s", "{folder}/bird.ctl", "show", "status")),
            owns=Owner(protocols=("bird",)),
            brings=tuple(
                route(str(other.pod_cidr), UPLINK, str(other.address), protocol="bird", metric=1024)
                for other in others
            ),
            needs=(("bird", "unpack Debian's package bird2 and put its bird on PATH"),),
        )


topology = Cluster(nodes=3, pods_per_node=1, containers=1, dataplane=Bird())
