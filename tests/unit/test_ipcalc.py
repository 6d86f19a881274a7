"""The arithmetic of one ADDRESS/LEN, against Python's own ipaddress module."""

from ipaddress import IPv4Address, IPv4Interface

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.errors import BadInput
from netlab.topology.ipcalc import calculate

ADDRESSES = st.integers(0, 2**32 - 1).map(IPv4Address)


@given(ADDRESSES, st.integers(0, 32))
def test_agrees_with_ipaddress(address: IPv4Address, length: int) -> None:
    result = calculate(f"{address}/{length}")
    network = IPv4Interface(f"{address}/{length}").network
    assert (result.address, result.prefix_length) == (str(address), length)
    assert result.network == str(network.network_address)
    assert result.broadcast == str(network.broadcast_address)
    assert result.netmask == str(network.netmask)
    assert int(IPv4Address(result.last)) - int(IPv4Address(result.first)) + 1 == result.usable
    assert result.usable == (network.num_addresses if length >= 31 else network.num_addresses - 2)
    assert IPv4Address(result.first) in network
    assert IPv4Address(result.last) in network
    if length > 20:  # hosts() of a wider network takes long to list
        hosts = list(network.hosts())
        assert (result.first, result.last) == (str(hosts[0]), str(hosts[-1]))


@given(ADDRESSES, st.integers(0, 32))
def test_binary_is_the_address_with_a_gap_after_the_network_part(
    address: IPv4Address, length: int
) -> None:
    split = calculate(f"{address}/{length}").binary
    for digits, value in ((split.address, int(address)), (split.netmask, -1 << (32 - length))):
        assert int(digits.replace(" ", "").replace(".", ""), 2) == value & 0xFFFFFFFF
        parts = digits.replace(".", "").split(" ")
        assert [len(part) for part in parts] == [n for n in (length, 32 - length) if n]
        assert digits.count(".") == 3


def test_the_split_of_a_slash_26() -> None:
    result = calculate("10.233.65.200/26")
    assert result.binary.address == "00001010.11101001.01000001.11 001000"
    assert result.binary.broadcast == "00001010.11101001.01000001.11 111111"
    assert (result.first, result.last, result.usable) == ("10.233.65.193", "10.233.65.254", 62)


@pytest.mark.parametrize("text", ["", "10.0.0.1", "10.0.0.1/33", "10.0.0/8", "fd00::1/64", "a/8"])
def test_anything_else_is_bad_input(text: str) -> None:
    with pytest.raises(BadInput, match="ADDRESS/LEN") as error:
        calculate(text)
    assert f"'{text}'" in str(error.value)
