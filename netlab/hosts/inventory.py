"""Which machines there are: any inventory of Ansible, read by Ansible itself."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netlab.errors import BadInput, Unmet, shown

_REMEDY = "pip install 'netlab-k8s[hosts]' ansible-core, or start netlab by ./bootstrap"
_LIMIT = 60  # seconds that an inventory may take: a script can ask a cloud
_PASSWORDS = ("ansible_password", "ansible_ssh_password", "ansible_ssh_pass")
_CONNECTIONS = ("ssh", "smart", "local")


@dataclass(frozen=True)
class Host:
    """A machine of an inventory, with the variables that Ansible has for it."""

    name: str
    variables: Mapping[str, Any] = field(default_factory=dict)

    def text(self, *names: str) -> str:
        """The first of these variables that there is; "" for none. Raises BadInput for no text."""
        for name in names:
            value = self.variables.get(name)
            if value is None:
                continue
            if isinstance(value, bool | int):
                return str(value)
            if not isinstance(value, str) or "{{" in value:
                raise BadInput(
                    f"The inventory's {name} of {self.name} is a template or encrypted, which "
                    "netlab does not evaluate",
                    "write its value",
                )
            return value
        return ""

    @property
    def local(self) -> bool:
        return self.text("ansible_connection") == "local"


def read(inventory: str | Path) -> tuple[Host, ...]:
    """The machines of an inventory, in its order: a file, a folder or a script.

    Raises BadInput where it cannot be read or has no machine, Unmet where Ansible lacks.
    """
    path = Path(inventory).expanduser()
    if not path.exists():
        raise BadInput(f"There is no inventory {shown(str(inventory))}", "name a file or a folder")
    return hosts(_listed(path), str(inventory))


def hosts(document: Mapping[str, Any], inventory: str) -> tuple[Host, ...]:
    """The machines in what `ansible-inventory --list` prints. Raises BadInput."""
    variables = document.get("_meta", {}).get("hostvars", {})
    found = tuple(Host(name, variables.get(name, {})) for name in _in_order(document))
    if not found:
        raise BadInput(f"The inventory {shown(inventory)} has no machine", "name one in it")
    for host in found:
        kind = host.text("ansible_connection") or "ssh"
        if kind.rpartition(".")[2] not in _CONNECTIONS:
            raise BadInput(
                f"The machine {host.name} of the inventory is reached by {shown(kind)}",
                "netlab knows ssh and local",
            )
        if not host.local and host.text(*_PASSWORDS):
            raise BadInput(
                f"The machine {host.name} of the inventory is to be reached by a password",
                "netlab logs in by a key: see ansible_ssh_private_key_file",
            )
    return found


def _in_order(document: Mapping[str, Any], group: str = "all") -> dict[str, None]:
    """The names of a group's machines, of those below it too, each once."""
    found: dict[str, None] = {}
    entry = document.get(group, {})
    for child in entry.get("children", ()):
        found |= _in_order(document, child)
    return found | dict.fromkeys(entry.get("hosts", ()))


def _listed(path: Path) -> dict[str, Any]:
    program = ansible("ansible-inventory")
    try:
        done = subprocess.run(
            [*program, "-i", str(path), "--list"],
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LIMIT,
        )
    except subprocess.TimeoutExpired:
        raise BadInput(
            f"The inventory {shown(str(path))} is not read after {_LIMIT} seconds",
            "mend its script",
        ) from None
    if done.returncode:
        raise BadInput(
            f"The inventory {shown(str(path))} cannot be read: {_reason(done.stderr, path)}"
        )
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def environment() -> dict[str, str]:
    """Of Ansible's programs: an inventory that does not parse is an error, words have no colour."""
    return os.environ | {
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true",
        "ANSIBLE_NOCOLOR": "true",
        "ANSIBLE_DEPRECATION_WARNINGS": "false",
    }


def _reason(said: str, path: Path) -> str:
    """Why it does not parse: of Ansible's parsers, which all say that, the one that is meant."""
    reasons: dict[str, str] = dict(
        re.findall(r"Failed to parse inventory with '(\w+)' plugin: (.+)", said)
    )
    yaml = path.suffix in (".yml", ".yaml", ".json")
    meant = "script" if "script" in reasons else "yaml" if yaml else "ini"
    if meant in reasons:
        return reasons[meant]
    errors: list[str] = re.findall(r"ERROR\S* (.+)", said)
    return errors[0] if errors else "Ansible says nothing of why."


def ansible(program: str) -> list[str]:
    """The command line of one of Ansible's programs. Raises Unmet where it is not installed."""
    beside = Path(sys.executable).with_name(program)
    found = str(beside) if beside.exists() else shutil.which(program)
    if found is None:
        raise Unmet(f"An inventory is read by Ansible's {program}, which is not installed", _REMEDY)
    return [found]


def require_runner() -> None:
    """Raise Unmet where ansible-runner is not installed."""
    if importlib.util.find_spec("ansible_runner") is None:
        raise Unmet("Machines are prepared by ansible-runner, which is not installed", _REMEDY)
