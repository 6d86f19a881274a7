"""How kube-proxy's nftables mode names its chains and sets, and the words it writes rules with.

From Kubernetes' pkg/proxy/nftables/proxier.go; as nft prints them.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from ipaddress import ip_address

from netlab.proxy.base import MASQUERADE_MARK
from netlab.topology.resolved import EndpointSpec, ServicePortSpec, ServiceSpec

TABLE = "kube-proxy"
_LONGEST = 240  # of a name without its prefix (chainNameBaseLengthMax)
_BIT = f"0x{MASQUERADE_MARK:08x}"
MARK = f"meta mark set meta mark | {_BIT}"
UNMARK = f"meta mark set meta mark ^ {_BIT}"
MARKED, UNMARKED = f"meta mark & {_BIT} != 0x00000000", f"meta mark & {_BIT} == 0x00000000"


@dataclass(frozen=True, slots=True)
class Family:
    """The words of one address family."""

    ipv6: bool

    @property
    def ip(self) -> str:
        return "ip6" if self.ipv6 else "ip"

    @property
    def address(self) -> str:
        """The type of an address in a set."""
        return "ipv6_addr" if self.ipv6 else "ipv4_addr"

    @property
    def not_localhost(self) -> str:
        return "ip6 daddr != ::1" if self.ipv6 else "ip daddr != 127.0.0.0/8"

    @property
    def target(self) -> str:
        """What a packet asks for: address, protocol and port, as a key of maps."""
        return f"{self.ip} daddr . meta l4proto . th dport"

    @property
    def target_type(self) -> str:
        return f"{self.address} . inet_proto . inet_service : verdict"


def commented(rule: str, comment: str) -> str:
    return f'{rule} comment "{comment}"'


def port_base(service: ServiceSpec, port: ServicePortSpec) -> str:
    """`HASH-NAMESPACE/NAME/PROTOCOL/PORT`, without a prefix (servicePortChainNameBase).

    >>> from netlab.topology.resolved import ServicePortSpec, ServiceSpec
    >>> https = ServicePortSpec("https", "TCP", 443, 6443)
    >>> port_base(ServiceSpec("kubernetes", "default", (), (https,)), https)
    '2QRHZV4L-default/kubernetes/tcp/https'
    """
    return _hashed(_words(service, port))


def endpoint_base(service: ServiceSpec, port: ServicePortSpec, endpoint: EndpointSpec) -> str:
    """That of an endpoint, which ends with `__ADDRESS/PORT`; colons are dots."""
    address = str(ip_address(endpoint.address)).replace(":", ".")
    return _hashed(f"{_words(service, port)}__{address}/{endpoint.port}")


def _words(service: ServiceSpec, port: ServicePortSpec) -> str:
    return f"{service.full_name}/{port.protocol.lower()}/{port.name}"


def _hashed(words: str) -> str:
    """The words behind the first 8 letters of their hash (hashAndTruncate)."""
    digest = base64.b32encode(hashlib.sha256(words.encode()).digest()).decode()
    name = f"{digest[:8]}-{words}"
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 3]}..."
