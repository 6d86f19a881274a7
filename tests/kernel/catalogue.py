"""Changes to a running lab, by the tool that makes them: what `diff` must see, name and repair.

Each is a shell command in one namespace of a dual-stack lab of two nodes, and words that the
difference must have. `$PORT` and `$OTHER` are ports of the node's pods, `$POD` is a MAC there.
"""

from __future__ import annotations

from typing import NamedTuple

NODE, POD, SWITCH = "node-1", "pod-1-1", "underlay"


class Change(NamedTuple):
    where: str
    command: str
    words: str


CHANGES: dict[str, Change] = {
    # ip link
    "link down": Change(NODE, "ip link set flannel.1 down", "up is off"),
    "link mtu": Change(NODE, "ip link set cni0 mtu 1400", "mtu is 1400"),
    "link mac": Change(POD, "ip link set eth0 address 02:00:00:00:00:77", "mac is 02:00"),
    "link arp": Change(POD, "ip link set eth0 arp off", "arp is off"),
    "link multicast": Change(NODE, "ip link set cni0 multicast off", "multicast is off"),
    "link promisc": Change(NODE, "ip link set eth0 promisc on", "promisc is on"),
    "link allmulti": Change(POD, "ip link set eth0 allmulticast on", "allmulti is on"),
    "link txqueuelen": Change(POD, "ip link set eth0 txqueuelen 7", "txqlen is 7"),
    "link alias": Change(NODE, "ip link set cni0 alias other", "alias is other"),
    "link altname": Change(POD, "ip link property add dev eth0 altname ethother", "ethother"),
    "link group": Change(NODE, "ip link set eth0 group 7", "group"),
    "link gso": Change(POD, "ip link set eth0 gso_max_size 1000", "gso max size"),
    "link gso segments": Change(POD, "ip link set eth0 gso_max_segs 3", "gso max segs"),
    "link gro": Change(NODE, "ip link set eth0 gro_max_size 1000", "gro max size"),
    "link protodown": Change(NODE, "ip link set flannel.1 protodown on", "proto down"),
    "link mode": Change(NODE, "ip link set eth0 mode dormant", "linkmode"),
    "link deleted": Change(NODE, "ip link del flannel.1", "link flannel.1"),
    "uplink deleted": Change(NODE, "ip link del eth0", "link eth0"),
    "pod's device deleted": Change(POD, "ip link del eth0", "link eth0"),
    "link added": Change(NODE, "ip link add ifb7 type ifb", "link ifb7"),
    "veth added": Change(POD, "ip link add veth7 type veth peer name veth8", "link veth7"),
    "vxlan added": Change(NODE, "ip link add vx7 type vxlan id 7 dstport 4789", "link vx7"),
    "bridge added": Change(NODE, "ip link add br7 type bridge", "link br7"),
    "macvlan added": Change(POD, "ip link add link eth0 name mac7 type macvlan", "link mac7"),
    "loopback down": Change(POD, "ip link set lo down", "link lo"),
    "loopback mtu": Change(POD, "ip link set lo mtu 1000", "mtu is 1000"),
    "port detached": Change(NODE, "ip link set $PORT nomaster", "master is none"),
    "gen mode": Change(POD, "ip link set eth0 addrgenmode eui64", "addr gen mode"),
    # ip link … type bridge, bridge_slave, vxlan
    "bridge ageing": Change(SWITCH, "ip link set br0 type bridge ageing_time 0", "ageing time"),
    "bridge priority": Change(NODE, "ip link set cni0 type bridge priority 100", "priority"),
    "bridge snooping": Change(NODE, "ip link set cni0 type bridge mcast_snooping 0", "snooping"),
    "bridge querier": Change(NODE, "ip link set cni0 type bridge mcast_querier 1", "mcast querier"),
    "bridge router": Change(NODE, "ip link set cni0 type bridge mcast_router 2", "mcast router"),
    "bridge forward delay": Change(
        NODE, "ip link set cni0 type bridge forward_delay 400", "forward delay"
    ),
    "bridge calls iptables": Change(
        NODE, "ip link set cni0 type bridge nf_call_iptables 1", "nf call iptables"
    ),
    "bridge fdb limit": Change(
        SWITCH, "ip link set br0 type bridge mcast_hash_max 512", "mcast hash max"
    ),
    "port hairpin": Change(NODE, "ip link set $PORT type bridge_slave hairpin off", "hairpin"),
    "port isolated": Change(NODE, "ip link set $PORT type bridge_slave isolated on", "isolated"),
    "port flood": Change(NODE, "ip link set $PORT type bridge_slave flood off", "flood is off"),
    "port learning": Change(NODE, "ip link set $PORT type bridge_slave learning off", "learning"),
    "port guard": Change(NODE, "ip link set $PORT type bridge_slave guard on", "guard"),
    "port cost": Change(NODE, "ip link set $PORT type bridge_slave cost 7", "cost"),
    "port priority": Change(NODE, "ip link set $PORT type bridge_slave priority 7", "priority"),
    "port locked": Change(NODE, "ip link set $PORT type bridge_slave locked on", "locked"),
    "port fast leave": Change(
        NODE, "ip link set $PORT type bridge_slave fastleave on", "fast leave"
    ),
    "port multicast router": Change(
        NODE, "ip link set $PORT type bridge_slave mcast_router 2", "multicast router"
    ),
    "port to unicast": Change(
        NODE, "ip link set $PORT type bridge_slave mcast_to_unicast on", "mcast to ucast"
    ),
    "vxlan ttl": Change(NODE, "ip link set flannel.1 type vxlan ttl 1", "ttl is 1"),
    "vxlan learning": Change(NODE, "ip link set flannel.1 type vxlan learning", "learning is on"),
    "vxlan remote": Change(
        NODE, "ip link set flannel.1 type vxlan remote 192.168.0.2", "remote is 192.168.0.2"
    ),
    "vxlan ageing": Change(NODE, "ip link set flannel.1 type vxlan ageing 7", "ageing is 7"),
    # ethtool, BPF
    "offload of a node": Change(
        NODE, "$TURN offload eth0 tx-checksum-ip-generic off", "tx-checksum-ip-generic off"
    ),
    "offload of a tunnel": Change(
        NODE, "$TURN offload flannel.1 tx-checksum-ip-generic off", "tx-checksum-ip-generic off"
    ),
    "offload of a pod": Change(
        POD, "$TURN offload eth0 tx-tcp-segmentation off", "tx-tcp-segmentation off"
    ),
    "XDP program": Change(NODE, "$TURN xdp eth0", "xdp "),
    "tcx program": Change(NODE, "$TURN tcx cni0", "tcx ingress program"),
    "tcx program of a pod": Change(POD, "$TURN tcx eth0", "tcx ingress program"),
    # ip address
    "address deleted": Change(POD, "ip addr del 10.244.0.2/24 dev eth0", "address 10.244.0.2"),
    "address added": Change(NODE, "ip addr add 10.5.5.5/32 dev lo", "10.5.5.5/32"),
    "address with a peer": Change(
        NODE, "ip addr add 10.5.5.5 peer 10.5.5.6/32 dev eth0", "10.5.5.5/32"
    ),
    "address broadcast": Change(
        NODE,
        "ip addr del 192.168.0.1/24 dev eth0"
        " && ip addr add 192.168.0.1/24 brd 192.168.0.7 dev eth0",
        "broadcast 192.168.0.7",
    ),
    "address label": Change(
        NODE,
        "ip addr del 192.168.0.1/24 dev eth0"
        " && ip addr add 192.168.0.1/24 brd + dev eth0 label eth0:1",
        "label eth0:1",
    ),
    "address scope": Change(
        NODE,
        "ip addr del 192.168.0.1/24 dev eth0"
        " && ip addr add 192.168.0.1/24 brd + dev eth0 scope link",
        "scope is link",
    ),
    "address lifetime": Change(
        NODE, "ip addr change 192.168.0.1/24 dev eth0 valid_lft 900 preferred_lft 600", "expires"
    ),
    "address without route": Change(
        NODE,
        "ip addr del 192.168.0.1/24 dev eth0"
        " && ip addr add 192.168.0.1/24 brd + dev eth0 noprefixroute",
        "noprefixroute",
    ),
    "localhost deleted": Change(POD, "ip addr del 127.0.0.1/8 dev lo", "127.0.0.1/8"),
    "IPv6 address deleted": Change(POD, "ip -6 addr flush dev eth0 scope global", "address fd"),
    "IPv6 address added": Change(NODE, "ip addr add fd99::7/64 dev eth0 nodad", "fd99::7"),
    "IPv6 localhost deleted": Change(POD, "ip addr del ::1/128 dev lo", "address ::1"),
    "IPv6 link-local address deleted": Change(
        NODE, "ip -6 addr flush dev eth0 scope link", "address fe80::"
    ),
    # ip route
    "route deleted": Change(NODE, "ip route del 10.244.1.0/24", "route 10.244.1.0/24"),
    "route added": Change(NODE, "ip route add 10.9.0.0/16 dev eth0 proto static", "10.9.0.0/16"),
    "route replaced": Change(
        NODE, "ip route replace 10.244.1.0/24 via 192.168.0.2 dev eth0", "route 10.244.1.0/24"
    ),
    "route appended": Change(
        NODE,
        "ip route append 10.244.1.0/24 via 10.244.2.0 dev flannel.1 onlink",
        "via 10.244.2.0",
    ),
    "route prepended": Change(
        NODE,
        "ip route prepend 10.244.1.0/24 via 10.244.2.0 dev flannel.1 onlink",
        "via 10.244.2.0",
    ),
    "route with tos": Change(
        NODE, "ip route add 10.244.1.0/24 tos 0x10 via 192.168.0.2 dev eth0", "tos 0x10"
    ),
    "route with realm": Change(
        NODE,
        "ip route change 10.244.1.0/24 via 10.244.1.0 dev flannel.1 onlink realms 5",
        "flow 0x05",
    ),
    "route mtu": Change(
        NODE,
        "ip route change 10.244.1.0/24 via 10.244.1.0 dev flannel.1 onlink mtu lock 1000",
        "mtu is 1000",
    ),
    "route window": Change(POD, "ip route change default via 10.244.0.1 initcwnd 3", "initcwnd 3"),
    "route source": Change(
        NODE,
        "ip route change 10.244.1.0/24 via 10.244.1.0 dev flannel.1 onlink src 192.168.0.1",
        "192.168.0.1",
    ),
    "route blackhole": Change(
        NODE, "ip route add blackhole 10.244.1.0/25", "blackhole 10.244.1.0/25"
    ),
    "route multipath": Change(
        NODE,
        "ip route add 10.9.0.0/16 nexthop via 192.168.0.2 dev eth0"
        " nexthop via 192.168.0.3 dev eth0 weight 3",
        "10.9.0.0/16",
    ),
    "route in MPLS": Change(
        NODE,
        "ip route change 10.244.1.0/24 encap ip6 id 7 dst fd99::1 via 10.244.1.0 dev flannel.1"
        " onlink",
        "encap",
    ),
    "route in another table": Change(
        NODE, "ip route add 10.244.1.0/24 via 192.168.0.2 table 100", "table 100"
    ),
    "connected route deleted": Change(POD, "ip route del 10.244.0.0/24", "10.244.0.0/24"),
    "network stolen": Change(
        NODE, "ip route add local 10.244.1.0/24 dev lo table local", "local 10.244.1.0/24"
    ),
    "local route deleted": Change(
        NODE, "ip route del local 192.168.0.1 dev eth0 table local", "not local"
    ),
    "broadcast route deleted": Change(
        POD, "ip route del broadcast 10.244.0.255 dev eth0 table local", "no broadcast"
    ),
    "broadcast route added": Change(
        POD,
        "ip route add broadcast 10.244.0.3 dev eth0 table local proto kernel scope link",
        "broadcast 10.244.0.3",
    ),
    "IPv6 route deleted": Change(POD, "ip -6 route del default", "route ::/0"),
    "IPv6 route added": Change(NODE, "ip -6 route add fd77::/64 dev eth0 metric 7", "fd77::/64"),
    "IPv6 route that expires": Change(
        NODE, "ip -6 route add fd77::/64 dev eth0 expires 600", "expires"
    ),
    "IPv6 route of preference": Change(
        NODE, "ip -6 route add fd77::/64 via fe80::1 dev eth0 pref low", "pref"
    ),
    "IPv6 route from a source": Change(
        NODE, "ip -6 route add fd77::/64 from fd78::/64 dev eth0", "fd77::/64"
    ),
    "IPv6 local route deleted": Change(
        POD,
        "ip -6 route del local $(ip -6 -br addr show dev eth0 scope global | grep -o fd[^/]*)"
        " table local",
        "not local",
    ),
    "IPv6 network stolen": Change(
        NODE, "ip -6 route add local fd77::/64 dev lo table local", "local fd77::/64"
    ),
    "IPv6 multicast route deleted": Change(
        POD, "ip -6 route del multicast ff00::/8 dev eth0 table local", "multicast"
    ),
    "nexthop object": Change(NODE, "ip nexthop add id 10 via 192.168.0.2 dev eth0", "nexthop 10"),
    "nexthop blackhole": Change(NODE, "ip nexthop add id 11 blackhole", "nexthop 11"),
    "nexthop group": Change(
        NODE,
        "ip nexthop add id 10 via 192.168.0.2 dev eth0 && ip nexthop add id 12 group 10",
        "nexthop 12",
    ),
    "route by nexthop object": Change(
        NODE,
        "ip nexthop add id 10 via 192.168.0.2 dev eth0 && ip route replace 10.244.1.0/24 nhid 10",
        "nh_id",
    ),
    # ip rule
    "rule prohibits": Change(NODE, "ip rule add to 10.244.1.0/24 prohibit pref 99", "prohibit"),
    "rule deleted": Change(POD, "ip rule del pref 32766", "rule 32766"),
    "rule by mark": Change(NODE, "ip rule add fwmark 7/0xff blackhole pref 99", "0x7/0xff"),
    "rule by device": Change(NODE, "ip rule add iif cni0 lookup 100 pref 99", "iif cni0"),
    "rule by output": Change(NODE, "ip rule add oif eth0 lookup 100 pref 99", "oif eth0"),
    "rule by user": Change(NODE, "ip rule add uidrange 5-6 lookup 100 pref 99", "uidrange"),
    "rule by protocol": Change(
        NODE, "ip rule add ipproto tcp dport 80-90 sport 5 lookup 100 pref 99", "dport 80:90"
    ),
    "rule by tunnel": Change(NODE, "ip rule add tun_id 5 lookup 100 pref 99", "tun_id 5"),
    "rule suppresses": Change(
        NODE, "ip rule add lookup main suppress_prefixlength 0 pref 99", "suppress_prefixlength 0"
    ),
    "rule not": Change(NODE, "ip rule add not from 10.0.0.0/8 lookup 100 pref 99", "not from"),
    "rule of l3mdev": Change(NODE, "ip rule add l3mdev pref 99", "l3mdev"),
    "rule goto": Change(NODE, "ip rule add goto 32766 pref 99", "goto"),
    "rule of IPv6": Change(NODE, "ip -6 rule add from fd77::/64 prohibit pref 99", "fd77::/64"),
    # ip neighbour
    "neighbour deleted": Change(
        NODE, "ip neigh del 10.244.1.0 dev flannel.1", "neighbour 10.244.1.0"
    ),
    "neighbour wrong": Change(
        NODE,
        "ip neigh replace 10.244.1.0 lladdr 02:00:00:00:00:01 dev flannel.1 nud permanent",
        "neighbour 10.244.1.0",
    ),
    "neighbour added": Change(
        POD,
        "ip neigh replace 10.244.0.1 lladdr 02:00:00:00:00:01 dev eth0 nud permanent",
        "neighbour 10.244.0.1",
    ),
    "neighbour noarp": Change(
        POD, "ip neigh replace 10.244.0.1 lladdr 02:00:00:00:00:01 dev eth0 nud noarp", "noarp"
    ),
    "neighbour of IPv6": Change(
        POD, "ip neigh replace fd77::1 lladdr 02:00:00:00:00:01 dev eth0 nud permanent", "fd77::1"
    ),
    "proxy neighbour": Change(NODE, "ip neigh add proxy 10.244.1.9 dev eth0", "proxy 10.244.1.9"),
    "proxy neighbour of IPv6": Change(NODE, "ip neigh add proxy fd77::9 dev eth0", "proxy fd77::9"),
    # ip xfrm
    "xfrm policy": Change(
        NODE,
        "ip xfrm policy add src 10.244.0.0/24 dst 10.244.1.0/24 dir out action block",
        "xfrm policy",
    ),
    "xfrm policy forward": Change(
        NODE,
        "ip xfrm policy add src 0.0.0.0/0 dst 10.244.1.0/24 dir fwd mark 5 mask 7",
        "xfrm policy",
    ),
    "xfrm state": Change(
        NODE,
        "ip xfrm state allocspi src 192.168.0.1 dst 192.168.0.2 proto esp min 7 max 7",
        "xfrm state",
    ),
    "xfrm default": Change(NODE, "ip xfrm policy setdefault fwd block", "xfrm default"),
    "xfrm of IPv6": Change(
        POD, "ip -6 xfrm policy add src fd77::/64 dst ::/0 dir in action block", "xfrm policy"
    ),
    # ip maddress, mroute, token, netns
    "namespace deleted": Change("", "ip netns del pod-2-1", "pod-2-1: the whole namespace"),
    "namespace added": Change("", "ip netns add stray", "stray: the whole namespace"),
    # bridge
    "bridge fdb static": Change(
        NODE, "bridge fdb add 02:00:00:00:00:09 dev $PORT master static", "02:00:00:00:00:09"
    ),
    "bridge fdb sticky": Change(
        NODE, "bridge fdb add 02:00:00:00:00:0a dev $PORT master sticky static", "sticky"
    ),
    "bridge fdb of the pod elsewhere": Change(
        NODE,
        "bridge fdb replace $POD dev $OTHER master static",
        "static",
    ),
    "bridge fdb local": Change(
        NODE, "bridge fdb add 02:00:00:00:00:0b dev cni0 self local", "02:00:00:00:00:0b"
    ),
    "bridge fdb of a pod": Change(
        POD, "bridge fdb add 02:00:00:00:00:0c dev eth0 self permanent", "02:00:00:00:00:0c"
    ),
    "vxlan fdb destination": Change(
        NODE,
        "bridge fdb replace $(bridge fdb show dev flannel.1 | grep 192.168.0.2 | cut -d' ' -f1)"
        " dev flannel.1 dst 192.168.0.3 self permanent",
        "192.168.0.3",
    ),
    "vxlan fdb port": Change(
        NODE,
        "bridge fdb replace $(bridge fdb show dev flannel.1 | grep 192.168.0.2 | cut -d' ' -f1)"
        " dev flannel.1 dst 192.168.0.2 port 9999 self permanent",
        "port is 9999",
    ),
    "vxlan fdb deleted": Change(
        NODE,
        "bridge fdb del $(bridge fdb show dev flannel.1 | grep 192.168.0.2 | cut -d' ' -f1)"
        " dev flannel.1 self",
        "fdb ",
    ),
    "bridge mdb": Change(
        NODE, "bridge mdb add dev cni0 port $PORT grp 239.1.1.1 permanent", "239.1.1.1"
    ),
    "bridge mdb of IPv6": Change(
        NODE, "bridge mdb add dev cni0 port $PORT grp ff0e::7 permanent", "ff0e::7"
    ),
    # tc
    "qdisc": Change(
        POD, "tc qdisc add dev eth0 root tbf rate 1mbit burst 2kb latency 10ms", "qdisc tbf"
    ),
    "qdisc class": Change(
        NODE,
        "tc qdisc add dev eth0 root handle 1: htb default 1"
        " && tc class add dev eth0 parent 1: classid 1:1 htb rate 1mbit",
        "qdisc htb",
    ),
    "qdisc of loopback": Change(POD, "tc qdisc add dev lo root pfifo limit 3", "qdisc pfifo"),
    "qdisc clsact": Change(POD, "tc qdisc add dev eth0 clsact", "qdisc clsact"),
    "filter of clsact": Change(
        NODE,
        "tc qdisc add dev cni0 clsact"
        " && tc filter add dev cni0 egress protocol ip prio 7 u32 match u32 0 0"
        " action mirred egress redirect dev lo",
        "filter u32 egress dev cni0 pref 7",
    ),
    "filter of a discipline": Change(
        NODE,
        "tc qdisc add dev eth0 root handle 1: htb default 1"
        " && tc filter add dev eth0 parent 1: protocol ip u32 match ip dst 10.9.9.9 flowid 1:1",
        "filter u32 parent 1:",
    ),
    "filter of BPF": Change(
        POD,
        "tc qdisc add dev eth0 clsact"
        " && tc filter add dev eth0 ingress bpf bytecode '1,6 0 0 0' action mirred egress redirect"
        " dev lo",
        "filter bpf ingress dev eth0",
    ),
    "filter of ingress": Change(
        NODE,
        "tc qdisc add dev eth0 ingress && tc filter add dev eth0 parent ffff: protocol ip u32"
        " match ip dst 10.244.0.0/16 action mirred egress redirect dev cni0",
        "filter u32 parent ffff:",
    ),
    # nft
    "nft table added": Change(POD, "nft add table inet mine", "inet mine"),
    "nft table deleted": Change(NODE, "nft delete table ip flannel-ipv4", "flannel-ipv4"),
    "nft chain flushed": Change(NODE, "nft flush chain ip flannel-ipv4 postrtg", "flannel-ipv4"),
    "nft chain added": Change(NODE, "nft add chain ip flannel-ipv4 mine", "mine"),
    "nft rule added": Change(
        NODE, "nft insert rule ip flannel-ipv4 postrtg ip protocol tcp drop", "drop"
    ),
    "nft chain that drops": Change(
        POD,
        "nft add table inet mine && nft 'add chain inet mine in { type filter hook input"
        " priority 0; policy drop; }'",
        "inet mine",
    ),
    "nft set": Change(
        POD, "nft add table ip s && nft 'add set ip s one { type ipv4_addr; }'", "ip s"
    ),
    "nft netdev": Change(
        NODE,
        "nft add table netdev n && nft 'add chain netdev n in { type filter hook ingress"
        " device eth0 priority 0; policy drop; }'",
        "netdev n",
    ),
    "nft bridge": Change(NODE, "nft add table bridge b", "bridge b"),
    "nft arp": Change(NODE, "nft add table arp a", "arp a"),
    # iptables
    "iptables-legacy policy": Change(NODE, "iptables-legacy -P FORWARD DROP", "filter"),
    "iptables-legacy masquerade": Change(
        NODE, "iptables-legacy -t nat -A POSTROUTING -j MASQUERADE", "iptables-legacy table nat"
    ),
    "iptables-legacy DNAT": Change(
        POD,
        "iptables-legacy -t nat -A OUTPUT -p tcp -j DNAT --to-destination 10.9.9.9",
        "iptables-legacy table nat",
    ),
    "iptables-legacy raw": Change(NODE, "iptables-legacy -t raw -A PREROUTING -j NOTRACK", "raw"),
    "iptables-legacy mangle": Change(
        NODE, "iptables-legacy -t mangle -A FORWARD -j MARK --set-mark 7", "mangle"
    ),
    "iptables-legacy chain": Change(
        NODE, "iptables-legacy -N MINE", "iptables-legacy table filter"
    ),
    "ip6tables-legacy": Change(NODE, "ip6tables-legacy -A INPUT -j DROP", "ip6tables-legacy table"),
    "iptables-nft": Change(NODE, "iptables-nft -I FORWARD -j DROP", "iptables-nft table filter"),
    "ip6tables-nft": Change(NODE, "ip6tables-nft -I INPUT -j DROP", "ip6tables-nft table filter"),
    "ipset": Change(NODE, "ipset create mine hash:ip && ipset add mine 10.9.9.9", "mine"),
    # sysctl
    "sysctl ip_forward": Change(NODE, "sysctl -qw net.ipv4.ip_forward=0", "ip_forward"),
    "sysctl forwarding": Change(
        NODE, "sysctl -qw net.ipv4.conf.cni0.forwarding=0", "conf/cni0/forwarding"
    ),
    "sysctl proxy_arp": Change(
        NODE, "sysctl -qw net.ipv4.conf.cni0.proxy_arp=1", "conf/cni0/proxy_arp"
    ),
    "sysctl forwarding of a pod": Change(POD, "sysctl -qw net.ipv4.ip_forward=1", "ip_forward"),
    "sysctl rp_filter": Change(
        NODE, "sysctl -qw net.ipv4.conf.eth0.rp_filter=1", "conf/eth0/rp_filter"
    ),
    "sysctl rp_filter of all": Change(
        NODE, "sysctl -qw net.ipv4.conf.all.rp_filter=1", "conf/all/rp_filter"
    ),
    "sysctl arp_ignore": Change(
        NODE, "sysctl -qw net.ipv4.conf.eth0.arp_ignore=8", "conf/eth0/arp_ignore"
    ),
    "sysctl arp_ignore of all": Change(
        POD, "sysctl -qw net.ipv4.conf.all.arp_ignore=8", "conf/all/arp_ignore"
    ),
    "sysctl arp_filter": Change(
        NODE, "sysctl -qw net.ipv4.conf.all.arp_filter=1", "conf/all/arp_filter"
    ),
    "sysctl arp_notify": Change(POD, "sysctl -qw net.ipv4.conf.eth0.arp_notify=0", "arp_notify"),
    "sysctl route_localnet": Change(
        NODE, "sysctl -qw net.ipv4.conf.all.route_localnet=1", "route_localnet"
    ),
    "sysctl send_redirects": Change(
        NODE, "sysctl -qw net.ipv4.conf.all.send_redirects=0", "send_redirects"
    ),
    "sysctl ip_default_ttl": Change(NODE, "sysctl -qw net.ipv4.ip_default_ttl=3", "ip_default_ttl"),
    "sysctl ports": Change(
        POD, "sysctl -qw net.ipv4.ip_local_port_range='2000 2010'", "ip_local_port_range"
    ),
    "sysctl echo": Change(
        POD, "sysctl -qw net.ipv4.icmp_echo_ignore_all=1", "icmp_echo_ignore_all"
    ),
    "sysctl disable_ipv6": Change(
        POD, "sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1", "conf/eth0/disable_ipv6"
    ),
    "sysctl hop_limit": Change(
        NODE, "sysctl -qw net.ipv6.conf.eth0.hop_limit=3", "conf/eth0/hop_limit"
    ),
    "sysctl of neighbours": Change(
        NODE, "sysctl -qw net.ipv4.neigh.eth0.retrans_time_ms=77", "neigh/eth0/retrans_time_ms"
    ),
    "sysctl of connections": Change(
        NODE, "sysctl -qw net.netfilter.nf_conntrack_tcp_be_liberal=1", "be_liberal"
    ),
    # kill
    "container killed": Change(POD, "kill -9 $PID; sleep 0.1", "container container-1"),
    "container stopped": Change(POD, "kill -STOP $PID; sleep 0.1", "container container-1"),
}
