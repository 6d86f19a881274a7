"""Names of a cluster: unique, and such that the kernel and Kubernetes take them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from netlab.errors import BadInput
from netlab.topology.resolved import EXTERNAL, ROUTER, Layout

DEVICE_NAME_MAX = 15  # IFNAMSIZ less the final NUL
SETTINGS_OF_ALL = ("all", "default")  # folders of /proc/sys/net/ipv4/conf that are no device's
DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def refuse_bad_names(layout: Layout) -> None:
    """Raises BadInput for a name that is taken, too long or malformed."""
    names = [subnet.switch for subnet in layout.subnets]
    names.append(ROUTER)
    names += [EXTERNAL] if layout.external else []
    names += [node.name for node in layout.nodes]
    for name in names:
        if len(name) > DEVICE_NAME_MAX:
            raise BadInput(
                f"The node name '{name}' has {len(name)} characters; it names the node's port on "
                f"the underlay switch, so the kernel allows {DEVICE_NAME_MAX}."
            )
        if name in SETTINGS_OF_ALL:
            raise BadInput(f"A node cannot be named '{name}'; the kernel has no device so named.")
    names += [pod.name for pod in layout.pods]
    for name in names:
        _refuse_non_label(name)
    _refuse_duplicates(names, "Two namespaces of the lab would be named '{}'")
    for pod in layout.pods:
        containers = [container.name for container in pod.containers]
        _refuse_duplicates(containers, f"Two containers of {pod.name} are named '{{}}'")
        for name in containers:
            _refuse_non_label(name)


def _refuse_non_label(name: str) -> None:
    if not DNS_LABEL.fullmatch(name):
        raise BadInput(
            f"The name '{name}' is not a DNS label: lower-case letters, digits and '-', at most "
            "63, as Kubernetes asks."
        )


def _refuse_duplicates(names: Iterable[str], sentence: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise BadInput(f"{sentence.format(name)}; names must be unique.")
        seen.add(name)
