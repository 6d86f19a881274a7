"""The fixed parts of the script that `netlab.plan.shell` writes."""

from __future__ import annotations

from netlab.plan.etc import PATH

HEADER = """\
#!/bin/sh
# The lab "{title}": {count} namespaces, made with ip, bridge and nft alone.
#
#   sh FILE                 a shell inside the lab; leaving it removes the lab
#   sh FILE COMMAND ARG…    runs a command inside the lab and ends with its exit status
#
# In the lab, `ip netns` lists nodes and pods; `ip netns exec POD COMMAND` runs one there.
# Nothing outside is changed: everything is made in namespaces of the script's own, which the
# kernel frees, with all that is in them, when the command ends.
set -eu
# Debian has these tools where only root looks for them.
PATH=$PATH:/usr/sbin:/sbin
export PATH
"""

SANDBOX = """\
for tool in {tools}; do
    command -v "$tool" > /dev/null || {{ echo "$tool is not installed." >&2; exit 3; }}
done

# Outside, start this file again in namespaces of its own. Inside is only who is process 1 there
# and has another network namespace than the one that was noted.
network=$(readlink /proc/self/ns/net)
if [ "$$" != 1 ] || [ "${{LAB_OUTSIDE:-$network}}" = "$network" ]; then
    [ -f "$0" ] || {{ echo "Save this script in a file, and run that." >&2; exit 2; }}
    LAB_OUTSIDE=$network
    export LAB_OUTSIDE
    as_root=
    [ "$(id -u)" = 0 ] || as_root="--user --map-root-user"
    # shellcheck disable=SC2086
    exec unshare $as_root --mount --net --pid --fork --kill-child --mount-proc sh "$0" "$@"
fi
unset LAB_OUTSIDE

# A private /run, for the names of namespaces and the script's own files.
mount -t tmpfs tmpfs /run
dir=/run/lab
mkdir /run/netns "$dir"
"""

IPVS = """\
# Loads the kernel's module, without which there are no settings of it.
ipvsadm -ln > /dev/null
"""

SETTINGS = """\
# settings NAMESPACE PATH=VALUE…: write files under /proc/sys in a namespace. Those of IPv6 do not
# exist on a kernel without it, and for devices whose MTU is below IPv6's minimum of 1280.
settings() {
    ip netns exec "$1" sh -euc 'shift
        for setting in "$@"; do
            file=/proc/sys/${setting%%=*}
            case $file in /proc/sys/net/ipv6/*) [ -e "$file" ] || continue ;; esac
            echo "${setting#*=}" > "$file"
        done' sh "$@"
}
"""

SERVER = """\
# ==== The server that containers without a command of their own run

"""

CONTAINERS = """\
# ==== The containers: processes with PID, mount and UTS namespaces of their own in a pod's network

# Where a file under /etc is a link into /run, there is something to mount over.
for file in hosts hostname resolv.conf; do
    real=$(readlink -f "/etc/$file") || continue
    case $real in /run/*) mkdir -p "${real%/*}" && : >> "$real" ;; esac
done

# etc NAMESPACE FILE: what a pod's containers have as that file under /etc, from standard input.
etc() {
    mkdir -p "$dir/etc/$1"
    cat > "$dir/etc/$1/$2"
}

# container NAMESPACE NAME HOSTNAME [VARIABLE=VALUE…] COMMAND…: start one, without the variables of
# who runs this; its output goes to a file in $dir.
container() {
    space=$1 name=$2 host=$3
    shift 3
    ip netns exec "$space" unshare --pid --mount --uts --fork --kill-child --mount-proc \\
        sh -euc 'etc=$1 host=$2
            shift 2
            hostname "$host"
            for file in hosts hostname resolv.conf; do
                [ ! -f "/etc/$file" ] || mount --bind "$etc/$file" "/etc/$file"
            done
            exec env -i "PATH=$0" "HOSTNAME=$host" HOME=/root "$@"
        ' "$path" "$dir/etc/$space" "$host" "$@" < /dev/null > "$dir/$space.$name.log" 2>&1 &
    echo $! > "$dir/$space.$name.pid"
}
path=%PATH%

# inside NAMESPACE NAME HOSTNAME [VARIABLE=VALUE…] COMMAND…: run a command in a container.
inside() {
    pid=$(cat "$dir/$1.$2.pid") host=$3 first=
    shift 3
    # Its process 1 is the child of the `unshare` that was started.
    read -r first < "/proc/$pid/task/$pid/children" || [ "$first" ] || return
    nsenter --target "$first" --mount --net --pid --uts \\
        env -i "PATH=$path" "HOSTNAME=$host" HOME=/root "$@"
}

# reachable NAMESPACE PROTOCOL PORT STATE: whether a socket has the port, which is in hexadecimal,
# on more than loopback; STATE is 0A for one that listens, else a dot for each digit.
reachable() {
    ip netns exec "$1" sh -c 'cat "/proc/net/$0" "/proc/net/${0}6" 2> /dev/null |
        grep -v " 0*01000000:$1 \\|7F:$1 " | grep -q "^ *[0-9]*: [0-9A-F]*:$1 [0-9A-F:]* $2 "
    ' "$2" "$3" "$4"
}

# until_ready NAMESPACE NAME TRIES COMMAND…: wait until a command succeeds.
until_ready() {
    space=$1 name=$2 tries=$3
    shift 3
    for _ in $(seq "$tries"); do
        "$@" > /dev/null 2>&1 && return
        sleep 0.1
    done
    echo "The container $name of $space is not ready; see $dir/$space.$name.log." >&2
    exit 1
}

# listening NAMESPACE PORT: wait until something listens on the TCP port, which is in hexadecimal.
listening() {
    ip netns exec "$1" sh -c 'for _ in $(seq 300); do
            grep -qs ":$0 0*:0000 0A" /proc/net/tcp /proc/net/tcp6 && exit
            sleep 0.1
        done
        exit 1' "$2" || { echo "Nothing listens in $1; see $dir/$1.*.log." >&2; exit 1; }
}
""".replace("%PATH%", PATH)

LIBRARY = """\
# The DNS server is a program in Python that reads and writes packets by dnslib.
python3 -c "import dnslib" 2> /dev/null || {
    echo "The DNS server needs Python's dnslib: python3-dnslib in Debian, dnslib on PyPI." >&2
    exit 3
}
"""

DAEMONS = """\
# ==== The daemons: processes in their node's network, started again when they end

# in_folder FOLDER: standard input with {folder} replaced by the folder, as daemons' files want it.
in_folder() {
    sed "s|{folder}|$1|g"
}

# daemon NAMESPACE NAME SECONDS COMMAND…: start one; its output goes to a file in $dir.
daemon() {
    space=$1 name=$2 pause=$3
    shift 3
    (
        cd "$dir/daemons/$space/$name"
        while :; do
            ip netns exec "$space" "$@" || :
            sleep "$pause"
        done
    ) < /dev/null > "$dir/$space.$name.log" 2>&1 &
}

# ready NAMESPACE NAME TRIES COMMAND…: wait until a command succeeds in the namespace, or, with
# `bound PROTOCOL PORT`, until a socket there has the port, which is in hexadecimal.
ready() {
    space=$1 name=$2 tries=$3
    shift 3
    for _ in $(seq "$tries"); do
        if [ "$1" = bound ]; then
            ip netns exec "$space" grep -qs "^ *[0-9]*: [0-9A-F]*:$3 " \\
                "/proc/net/$2" "/proc/net/${2}6" && return
        else
            ip netns exec "$space" "$@" > /dev/null 2>&1 && return
        fi
        sleep 0.1
    done
    echo "The daemon $name of $space is not ready; see $dir/$space.$name.log." >&2
    exit 1
}
"""

FINISH = """\
# ==== Ready: run the command, or a shell. Not by exec: process 1 would ignore Ctrl-C.

if [ $# = 0 ]; then
    echo "The lab is ready; try: ip netns exec {hint} ip route" >&2
    set -- "${{SHELL:-sh}}"
fi
"$@"
"""
