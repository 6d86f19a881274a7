"""What a container finds under /etc and in its environment, as kubelet and a runtime write it."""

import pytest

from netlab.errors import BadInput
from netlab.plan import etc
from netlab.plan.processes import Container as Process
from netlab.topology.layout import lay_out
from netlab.topology.model import Cluster, Container, HostAlias, Node, Pod, Ready
from tests.unit.plans import plan_of

# As `kubectl exec` shows it of a dual-stack pod with hostAliases (kubelet_pods.go,
# managedHostsFileContent; the example of kubernetes.io/docs, "Adding entries to Pod /etc/hosts").
HOSTS = """\
# Kubernetes-managed hosts file.
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
10.244.0.2\tweb
fd44::2\tweb

# Entries added by HostAliases.
127.0.0.1\tfoo.local\tbar.local
10.1.2.3\tfoo.remote\tbar.remote
"""
SLEEP = ("sleep", "9")


def process(pod: Pod, **fields: object) -> Process:
    return (
        plan_of("flannel-vxlan", nodes=[Node(pods=[pod])], **fields).namespaces["web"].containers[0]
    )


def test_hosts_has_the_pod_s_addresses_and_its_aliases() -> None:
    aliases = (
        HostAlias("127.0.0.1", ("foo.local", "bar.local")),
        HostAlias("10.1.2.3", ("foo.remote", "bar.remote")),
    )
    pod = Pod("web", host_aliases=aliases)
    found = process(pod, cluster_cidr=("10.244.0.0/16", "fd44::/56"))
    assert etc.files(found)["hosts"] == HOSTS
    plain = etc.files(process(Pod("web")))["hosts"]
    assert plain == HOSTS.partition("fd44")[0]


def test_the_resolver_searches_the_pod_s_namespace() -> None:
    files = etc.files(process(Pod("web", namespace="prod")))
    assert files["resolv.conf"] == (
        "search prod.svc.cluster.local svc.cluster.local cluster.local\n"
        "nameserver 127.0.0.1\n"
        "options ndots:5\n"
    )
    assert files["hostname"] == "web\n"


def test_a_machine_outside_is_no_pod() -> None:
    [client] = plan_of("flannel-vxlan").namespaces["external"].containers
    files = etc.files(client)
    assert files["resolv.conf"] == "nameserver 127.0.0.1\n"
    assert "Kubernetes" not in files["hosts"]
    assert files["hosts"].endswith("203.0.113.10\texternal\n")


def test_a_container_s_own_variables_win() -> None:
    own = Container("c", SLEEP, env=("MODE=a=b", "HOME=/srv"))
    assert etc.environment(process(Pod("web", (own,)))) == {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOSTNAME": "web",
        "HOME": "/srv",
        "MODE": "a=b",
    }


@pytest.mark.parametrize(
    ("pod", "words"),
    [
        (Pod("p", (Container("c", SLEEP, env=("MODE",)),)), "'MODE' in its env, not NAME=VALUE"),
        (Pod("p", (Container("c", SLEEP, env=("=x",)),)), "not NAME=VALUE"),
        (Pod("p", (Container("c", SLEEP, env=("A=\0",)),)), "not NAME=VALUE"),
        (Pod("p", (Container("c", ready=Ready(tcp=80)),)), "runs netlab's server, which is ready"),
        (Pod("p", (Container("c", SLEEP, ready=Ready()),)), "`ready` without a condition"),
        (Pod("p", (Container("c", SLEEP, ready=Ready(tcp=65536)),)), "ready on port 65536"),
        (Pod("p", (Container("c", SLEEP, ready=Ready(udp=-1)),)), "ready on port -1"),
        (Pod("p", (Container("c", SLEEP, ready=Ready(tcp=1, seconds=0)),)), "for 0 seconds"),
        (
            Pod("p", (Container("c", SLEEP, ready=Ready(tcp=1, seconds=float("inf"))),)),
            "cannot be waited for inf seconds",
        ),
        (Pod("p", host_aliases=(HostAlias("10.0.0.300", ("a",)),)), "'10.0.0.300', not an address"),
        (Pod("p", host_aliases=(HostAlias("10.0.0.3", ()),)), "10.0.0.3 in p has no names"),
        (Pod("p", host_aliases=(HostAlias("10.0.0.3", ("a b",)),)), "'a b' is not a DNS subdomain"),
    ],
)
def test_what_no_container_could_have_is_refused(pod: Pod, words: str) -> None:
    with pytest.raises(BadInput) as caught:
        lay_out(Cluster(nodes=[Node(pods=[pod])]))
    assert words in str(caught.value)


def test_types_are_checked_where_the_value_is_made() -> None:
    with pytest.raises(TypeError, match=r"Ready.tcp is 'http', not a whole number"):
        Ready(tcp="http")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"HostAlias.hostnames is a string"):
        HostAlias("10.0.0.3", "db")  # type: ignore[arg-type]
