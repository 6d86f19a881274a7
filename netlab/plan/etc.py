"""What a container finds when it starts: the variables, and the files under /etc, of its pod.

They are those that kubelet (pkg/kubelet/kubelet_pods.go, pkg/kubelet/network/dns) and a container
runtime (containerd's CRI) give it, and nothing of the machine on which the lab is.
"""

from __future__ import annotations

from netlab.plan.processes import Container

# As images of Debian, and the Docker ones made from them, have it.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CLUSTER_DOMAIN = "cluster.local"
# Where nobody answers, so that a look-up fails at once instead of after the resolver's patience.
NO_RESOLVER = "127.0.0.1"
_LOCALHOST = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
"""


def environment(container: Container) -> dict[str, str]:
    """The variables of a container's processes; its own come last, and win."""
    own = dict(setting.split("=", 1) for setting in container.env)
    return {"PATH": PATH, "HOSTNAME": container.hostname, "HOME": "/root"} | own


def files(container: Container) -> dict[str, str]:
    """The files under /etc, by name; the containers of a pod share them."""
    return {
        "hosts": _hosts(container),
        "hostname": f"{container.hostname}\n",
        "resolv.conf": _resolver(container),
    }


def _hosts(container: Container) -> str:
    head = "# Kubernetes-managed hosts file.\n" if container.namespace else ""
    own = "".join(f"{address}\t{container.hostname}\n" for address in container.addresses)
    aliases = ["\t".join(alias) + "\n" for alias in container.aliases]
    more = ["\n# Entries added by HostAliases.\n", *aliases] if aliases else []
    return "".join([head, _LOCALHOST, own, *more])


def _resolver(container: Container) -> str:
    nameserver = f"nameserver {container.nameserver or NO_RESOLVER}\n"
    if not container.namespace:
        return nameserver
    service = f"svc.{CLUSTER_DOMAIN}"
    search = f"search {container.namespace}.{service} {service} {CLUSTER_DOMAIN}\n"
    return f"{search}{nameserver}options ndots:5\n"
