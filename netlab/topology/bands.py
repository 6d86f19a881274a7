"""The bands of what Services take: the lower is for those who name theirs, the upper for the rest.

Kubernetes (KEP-3070 for addresses, KEP-3668 for NodePorts) gives a Service that names nothing one
of the upper band, and one of the lower only where the upper is full: so who names one meets no
other. It starts at a random place of a band. Nothing hinders a Service from naming one of the
upper band.
"""

from __future__ import annotations

LEAST = 16  # of a lower band; a range of so many or fewer has none


def service_band(size: int) -> int:
    """How many addresses the lower band of a service CIDR has.

    `size` counts all addresses of the CIDR, 16384 for a /18. The band starts at the second, the
    first that a Service can have: 10.96.0.1 to 10.96.1.0 of a 10.96.0.0/12. min(max(16, size/16),
    256), and 0 for 16 or fewer: calculateRangeOffset in Kubernetes'
    pkg/registry/core/service/ipallocator/ipallocator.go, of both families.
    """
    return _band(size, step=16, most=256)


def port_band(size: int) -> int:
    """How many ports the lower band of a NodePort range has.

    `size` counts all ports of the range, 2768 for 30000-32767. The band starts at the first port:
    30000 to 30085 there. min(max(16, size/32), 128), and 0 for 16 or fewer: calculateRangeOffset in
    Kubernetes' pkg/registry/core/service/portallocator/allocator.go.
    """
    return _band(size, step=32, most=128)


def _band(size: int, *, step: int, most: int) -> int:
    return 0 if size <= LEAST else min(max(LEAST, size // step), most)
