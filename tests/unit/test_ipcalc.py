"""The arithmetic of one ADDRESS/LEN, against Python's own ipaddress module."""

from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.errors import BadInput
from netlab.topology.ipcalc import MOST, calculate, contains, subnets

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


@given(st.integers(0, 2**128 - 1).map(IPv6Address), st.integers(0, 128))
def test_ipv6_agrees_with_ipaddress(address: IPv6Address, length: int) -> None:
    result = calculate(f"{address}/{length}")
    network = IPv6Interface(f"{address}/{length}").network
    assert (result.network, result.netmask) == (str(network[0]), str(network.netmask))
    assert (result.broadcast, result.binary.broadcast) == (None, None)
    assert result.last == str(network[-1])
    assert result.usable == network.num_addresses - (length < 127)
    assert IPv6Address(result.first) == (network[0] if length >= 127 else network[1])
    digits = result.binary.address.replace(":", "")
    assert [len(part) for part in digits.split(" ")] == [n for n in (length, 128 - length) if n]
    assert int(digits.replace(" ", ""), 2) == int(address)


@given(st.integers(0, 32), st.integers(0, 2**32 - 1))
def test_the_mask_may_be_a_netmask(length: int, value: int) -> None:
    network = IPv4Interface(f"{IPv4Address(value)}/{length}")
    assert calculate(network.with_netmask) == calculate(network.with_prefixlen)


@given(ADDRESSES, st.integers(0, 32), st.integers(0, 8))
def test_a_network_in_subnets(address: IPv4Address, length: int, more: int) -> None:
    wanted = min(length + more, 32)
    found = subnets(f"{address}/{length}", f"/{wanted}")
    assert found == subnets(f"{address}/{length}", str(wanted))
    whole = IPv4Interface(f"{address}/{length}").network
    networks = [IPv4Network(one.cidr) for one in found]
    assert networks == list(whole.subnets(new_prefix=wanted))
    for one in found:
        assert (one.first, one.last, one.usable) == (
            calculate(one.cidr).first,
            calculate(one.cidr).last,
            calculate(one.cidr).usable,
        )


@given(ADDRESSES, st.integers(0, 32), ADDRESSES, st.integers(0, 32))
def test_what_is_inside(one: IPv4Address, length: int, other: IPv4Address, more: int) -> None:
    network, asked = (IPv4Interface(f"{a}/{n}").network for a, n in ((one, length), (other, more)))
    assert contains(f"{one}/{length}", f"{other}/{more}") == asked.subnet_of(network)
    assert contains(f"{one}/{length}", str(other)) == (other in network)
    assert contains(f"{one}/{length}", str(network[-1]))


@pytest.mark.parametrize(
    ("split", "words"),
    [
        ("/15", "10.0.0.0/16 cannot be split into '/15'; say one of /16 to /32"),
        ("/33", "say one of"),
        ("", "say one of"),
        ("-1", "say one of"),
        ("٣", "say one of"),
    ],
)
def test_what_cannot_be_split_is_told(split: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        subnets("10.0.0.0/16", split)


def test_too_many_subnets_are_told() -> None:
    assert len(subnets("fd00::/48", "/64")) == MOST
    with pytest.raises(BadInput, match=r"has 131072 subnets of /65.*say one of /48 to /64"):
        subnets("fd00::/48", "/65")


@pytest.mark.parametrize(
    ("asked", "words"),
    [("fd00::1", "is of IPv6, and 10.0.0.0/8 of IPv4"), ("x", "'x' is neither an address")],
)
def test_what_cannot_be_inside_is_told(asked: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        contains("10.0.0.0/8", asked)


@pytest.mark.parametrize("text", ["", "10.0.0.1", "10.0.0.1/33", "10.0.0/8", "fd00::1/129", "a/8"])
def test_anything_else_is_bad_input(text: str) -> None:
    with pytest.raises(BadInput, match="ADDRESS/LEN") as error:
        calculate(text)
    assert f"'{text}'" in str(error.value)
