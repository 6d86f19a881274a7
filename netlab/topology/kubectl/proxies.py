"""Which proxy a cluster has: kube-proxy's mode, from its configuration, its flags or its log."""

from __future__ import annotations

import re

from netlab.topology.kubectl.notes import Notes
from netlab.topology.kubectl.objects import Dump
from netlab.topology.kubectl.ranges import values
from netlab.topology.model import Named

DEFAULT = "iptables"  # cmd/kube-proxy/app/options.go
_DEVICES = {"BridgeInterface": "bridgeInterface", "InterfaceNamePrefix": "interfaceNamePrefix"}
_MODES = ("iptables", "nftables", "ipvs")
_NAME = f"({'|'.join(_MODES)})"


def proxy(dump: Dump, notes: Notes) -> Named:
    """The proxy, by name; where it is not to be known that is said."""
    config = dump.config("kube-proxy")
    text = config.value("config.conf") if config else ""
    if text:
        mode = _value(text, "mode") or DEFAULT
        if mode in _MODES:
            return Named(mode, _options(text))
    said = values(dump.text, ("proxy-mode",), _NAME)
    # As the log has it: "Using iptables Proxier".
    for mode in said or values(dump.text, ("Using", "using"), rf"{_NAME} [Pp]roxier"):
        return Named(mode, {})
    cilium = dump.config("cilium-config")
    if cilium and cilium.value("kube-proxy-replacement") in ("true", "strict"):
        notes.say(
            "Cilium handles Services itself there (kube-proxy-replacement), in eBPF: "
            f"kube-proxy's {DEFAULT} mode is assumed; --set proxy=… for another."
        )
    else:
        notes.say(
            f"The mode of kube-proxy is not in the files: {DEFAULT}, its default, is assumed; "
            "--set proxy=… for another."
        )
    return Named(DEFAULT, {})


def _value(text: str, key: str) -> str:
    """Of a key of the configuration, wherever it stands."""
    found = re.search(rf"^\s*{key}:[ \t]*[\"']?([\w-]*)[\"']?\s*$", text, re.MULTILINE)
    return found[1] if found else ""


def _options(text: str) -> dict[str, object]:
    options: dict[str, object] = {}
    if _value(text, "masqueradeAll") == "true":
        options["masquerade_all"] = True
    if local := _value(text, "detectLocalMode"):
        options["detect_local"] = local
        device = {
            "BridgeInterface": "bridgeInterface",
            "InterfaceNamePrefix": "interfaceNamePrefix",
        }
        if local in device:
            options["local_device"] = _value(text, device[local])
    return options
