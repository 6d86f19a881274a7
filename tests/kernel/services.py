"""Who answers whom in the lab of topologies/services.py, whatever its proxy."""

from __future__ import annotations

import json

from tests.kernel.conftest import Netlab

# Asks all at once and prints of each who answered and whom it saw, or why nobody did; what timed
# out is asked once more, as the first packet between new neighbours may be lost.
ASK = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
def ask(target):
    protocol, address, port = target.split("/")
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with socket.socket(type=kind) as one:
        one.settimeout(1.5)
        one.connect((address, int(port)))
        one.send(b"who\\n")
        pod, _, source = one.recv(100).decode().split()[:3]
        return pod, source.rpartition(":")[0]
def asked(target):
    for last in (False, True):
        try:
            return ask(target)
        except TimeoutError:
            if last:
                return "no answer", ""
        except ConnectionRefusedError:
            return "refused", ""
        except OSError:  # the router knows no way to a ClusterIP
            return "no answer", ""
with ThreadPoolExecutor(64) as pool:
    print(json.dumps(list(pool.map(asked, sys.argv[1:]))))
"""
NODES = {f"node-{n}": f"192.168.0.{n}" for n in (1, 2, 3)}
CLIENT = "203.0.113.10"
Answer = tuple[str, str]
NOBODY, REFUSED = ("no answer", ""), ("refused", "")
PODS = {f"pod-{node}-{pod}" for node in (1, 2, 3) for pod in (1, 2)}


class Services:
    """The lab of topologies/services.py, and who answers there."""

    def __init__(self, netlab: Netlab) -> None:
        self.netlab = netlab
        status = netlab.ok("status")
        self.ip = {one["name"]: one["cluster_ip"] for one in status["services"]}
        self.pods = {one["name"]: one["ip"] for one in status["pods"]}

    def ask(self, who: str, *targets: str) -> list[Answer]:
        """The pod that answers each target, as `tcp/ADDRESS/PORT`, and whom it sees."""
        done = self.netlab.ok("exec", who, "--", "python3", "-c", ASK, *targets)
        return [(pod, source) for pod, source in json.loads(done["stdout"])]

    def at_nodes(self, protocol: str, port: int) -> list[str]:
        return [f"{protocol}/{address}/{port}" for address in NODES.values()]
