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
    assert (result.broadcast, result.binary.broadcast, result.wildcard) == (None, None, None)
    assert result.last == str(network[-1])
    assert result.usable == network.num_addresses - (length < 127)
    assert IPv6Address(result.first) == (network[0] if length >= 127 else network[1])
    digits = result.binary.address.replace(":", "")
    assert [len(part) for part in digits.split(" ")] == [n for n in (length, 128 - length) if n]
    assert int(digits.replace(" ", ""), 2) == int(address)


@given(st.integers(0, 32), ADDRESSES)
def test_the_mask_may_be_a_netmask_or_a_second_word(length: int, address: IPv4Address) -> None:
    interface = IPv4Interface(f"{address}/{length}")
    wanted = calculate(interface.with_prefixlen)
    assert calculate(interface.with_netmask) == wanted
    assert calculate(f"{address} {interface.netmask}") == wanted
    assert calculate(f"{address}  {length}") == wanted
    assert wanted.wildcard == str(interface.hostmask)
    if 0 < length < 32:  # where the wildcard would be a netmask of the other end, it is one
        assert calculate(interface.with_hostmask) == wanted


@given(st.integers(0, 128), st.integers(0, 2**128 - 1).map(IPv6Address))
def test_ipv6_has_netmasks_too(length: int, address: IPv6Address) -> None:
    interface = IPv6Interface(f"{address}/{length}")
    assert calculate(interface.with_netmask) == calculate(interface.with_prefixlen)
    assert calculate(f"{address} {interface.netmask}") == calculate(interface.with_prefixlen)


@given(st.integers(1, 2**128 - 1))
def test_a_mask_with_holes_is_none(bits: int) -> None:
    if "01" in f"{bits:0128b}":
        with pytest.raises(BadInput, match="length up to /128"):
            calculate(f"fd44::1/{IPv6Address(bits)}")


@pytest.mark.parametrize(
    ("text", "kind", "ends"),
    [
        ("0.0.0.0/0", "default", ("0.0.0.1", "255.255.255.254", 2**32 - 2)),
        ("10.0.0.1/30", "network", ("10.0.0.1", "10.0.0.2", 2)),
        ("10.0.0.1/31", "pair", ("10.0.0.0", "10.0.0.1", 2)),
        ("10.0.0.1/32", "host", ("10.0.0.1", "10.0.0.1", 1)),
        ("::/0", "default", ("::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 2**128 - 1)),
        ("fd44::1/126", "network", ("fd44::1", "fd44::3", 3)),
        ("fd44::1/127", "pair", ("fd44::", "fd44::1", 2)),
        ("fd44::1/128", "host", ("fd44::1", "fd44::1", 1)),
    ],
)
def test_where_a_network_is_not_like_others(
    text: str, kind: str, ends: tuple[str, str, int]
) -> None:
    result = calculate(text)
    assert (result.kind, (result.first, result.last, result.usable)) == (kind, ends)


@given(ADDRESSES, st.integers(0, 32), st.integers(0, 8))
def test_a_network_in_subnets(address: IPv4Address, length: int, more: int) -> None:
    wanted = min(length + more, 32)
    found = subnets(f"{address}/{length}", f"/{wanted}")
    assert found == subnets(f"{address}/{length}", str(wanted))
    assert found == subnets(f"{address}/{length}", str(IPv4Network((0, wanted)).netmask))
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
        ("255.0.0.0", "cannot be split into '255.0.0.0'; say one of"),
        ("255.0.255.0", "say one of"),
        ("9" * 5000, "say one of"),
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
    [
        ("fd00::1", "is of IPv6, and 10.0.0.0/8 of IPv4"),
        ("x", "'x' is neither an address"),
        ("fe80::1%a", "nor a network"),
    ],
)
def test_what_cannot_be_inside_is_told(asked: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        contains("10.0.0.0/8", asked)


LENGTH = "a mask is a length up to /32, or a netmask such as 255.255.255.0"


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("", ""),
        ("10.0.0/8", ""),
        ("a/8", ""),
        ("10.0.0.1", LENGTH),
        ("10.0.0.1/", LENGTH),
        ("10.0.0.1/33", LENGTH),
        ("10.0.0.1/-1", LENGTH),
        ("10.0.0.1/24/8", LENGTH),
        ("10.0.0.1/24 8", LENGTH),
        ("10.0.0.1/255.0.255.0", LENGTH),
        ("10.0.0.1/ffff::", LENGTH),
        ("fd00::1/129", "length up to /128"),
        ("fd00::1/255.0.0.0", "length up to /128"),
        ("fe80::1%eth0/64", "leave out the interface"),
    ],
)
def test_anything_else_is_bad_input(text: str, remedy: str) -> None:
    with pytest.raises(BadInput, match="ADDRESS/LEN") as error:
        calculate(text)
    assert f"'{text}'" in str(error.value)
    assert remedy in str(error.value)
