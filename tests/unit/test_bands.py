"""The bands of service CIDRs and NodePort ranges, against Kubernetes' own examples."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.topology.bands import port_band, service_band

SIZES = st.integers(0, 2**64)


@pytest.mark.parametrize(
    ("prefix", "band"),
    [  # /24, /20 and /16 are the examples of Kubernetes' page "Service ClusterIP allocation"
        (30, 0),
        (28, 0),
        (27, 16),
        (24, 16),
        (23, 32),
        (22, 64),
        (20, 256),
        (18, 256),
        (16, 256),
        (12, 256),
    ],
)
def test_addresses(prefix: int, band: int) -> None:
    assert service_band(2 ** (32 - prefix)) == band


@pytest.mark.parametrize(
    ("size", "band"),
    [  # 2768 is the default range, 128 and 16 are where the formula's ends are
        (0, 0),
        (1, 0),
        (16, 0),
        (17, 16),
        (512, 16),
        (543, 16),
        (544, 17),
        (2768, 86),
        (4095, 127),
        (4096, 128),
        (65535, 128),
    ],
)
def test_ports(size: int, band: int) -> None:
    assert port_band(size) == band


@given(SIZES, SIZES)
def test_a_band_grows_with_its_range_and_leaves_something_of_it(one: int, other: int) -> None:
    less, more = sorted((one, other))
    for band in (service_band, port_band):
        assert band(less) <= band(more)
        assert band(more) < max(more, 1)
