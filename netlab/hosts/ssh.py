"""The way to a machine: ssh's command line, one connection for all of a command, and its causes.

Ansible and netlab give ssh the same ControlPath, so whoever comes second finds a connection.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import subprocess
from pathlib import Path

from netlab.hosts.inventory import Host
from netlab.kernel.lab import root as folders

CONNECT = 10  # seconds for a connection to be there
_PERSIST = 15  # seconds that a connection outlives its last user, should nobody end it
_ENDING = 5  # seconds
# What ssh, sudo and sh say, and what to say of it: the first that is found counts.
_CAUSES = (
    (r"Connection refused", "it refuses connections by ssh", "start it, or its sshd"),
    (r"timed out|Timeout, server", "it does not answer", "see whether it runs and can be reached"),
    (r"No route to host|Network is unreachable", "there is no way to it", "see its address"),
    (r"Could not resolve hostname", "its name is not known", "set ansible_host in the inventory"),
    (
        r"Host key verification failed|REMOTE HOST IDENTIFICATION",
        "its host key is not the one that is known, or none is",
        "connect to it once by ssh, or see ~/.ssh/known_hosts",
    ),
    (
        r"Permission denied|Too many authentication",
        "it denies access",
        "see ansible_user and ansible_ssh_private_key_file in the inventory",
    ),
    (
        r"incorrect password|Sorry, try again|no password was provided",
        "sudo does not take the password",
        "see ansible_become_password in the inventory",
    ),
    (
        r"sudo: .*password|sudo: .*terminal",
        "sudo wants a password",
        "set ansible_become_password in the inventory, or let the user do without",
    ),
    (r"not in the sudoers|not allowed to", "its user may not become root", "allow it by sudo"),
    (r"sudo: .*not found|sudo: No such", "there is no sudo", "install it, or log in as root"),
    (r"python3?.*(not found|No such)", "there is no python3", "install it"),
    (
        r"mux_client|Broken pipe|Connection reset|closed by remote host|disconnect",
        "the connection was lost",
        "see whether it still runs",
    ),
)
_WARNING = re.compile(r"^\*\* |warning:", re.IGNORECASE)
# So that a machine which says nothing any more is given up after 3 seconds.
_ALIVE = ("-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=3")


class Way:
    """How commands are run on a machine. `folder` is a private one, for the connection's socket."""

    def __init__(self, host: Host, folder: Path) -> None:
        self.host = host
        self.control = folder / "%C"
        self._program = host.text("ansible_ssh_executable") or "ssh"

    @property
    def password(self) -> str:
        """What sudo may ask for."""
        return self.host.text("ansible_become_password", "ansible_become_pass", "ansible_sudo_pass")

    @property
    def python(self) -> str:
        given = self.host.text("ansible_python_interpreter")
        return given if given.startswith("/") else "python3"

    def command(self, shell: str, *, terminal: bool = False) -> list[str]:
        """The command line that runs a line of shell there."""
        if self.host.local:
            return ["sh", "-c", shell]
        remote = f"exec sh -c {shlex.quote(shell)}"
        return [self._program, "-tt" if terminal else "-T", *self._options(), self._address, remote]

    def as_root(self, *command: str, terminal: bool = False, stdin: bool = False) -> str:
        """The line of shell that runs a command as root.

        A password comes as the first line of standard input, never on a command line; with a
        terminal sudo asks there. Of a command that reads its `stdin` sudo must not take more than
        that line, nor less: it is asked before, and remembers for this shell.
        """
        words = shlex.join([*self._environment, *command])
        if stdin and self.password and not terminal:
            asking = """printf '%s\\n' "$word" | sudo -S -p '' -v && sudo -n --"""
            return f'IFS= read -r word; [ "$(id -u)" != 0 ] || exec {words}; {asking} {words}'
        asking = "sudo" if terminal else "sudo -S -p ''" if self.password else "sudo -n"
        return f'if [ "$(id -u)" = 0 ]; then exec {words}; else exec {asking} -- {words}; fi'

    def end(self) -> None:
        """End the connection, which would stay for a while."""
        if self.host.local or not any(self.control.parent.iterdir()):
            return
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(
                [self._program, *self._options(), "-O", "exit", self._address],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_ENDING,
            )

    @property
    def shared(self) -> dict[str, str]:
        """The variables with which Ansible uses the same connection."""
        given = self.host.text("ansible_ssh_common_args")
        first, last = shlex.join(self._sharing()), shlex.join(_ALIVE)
        return {
            "ansible_ssh_common_args": f"{first} {given} {last}",
            "ansible_control_path": str(self.control).replace("%", "%%"),
        }

    @property
    def _environment(self) -> list[str]:
        """Where this machine is one of the lab's, that is another folder than the controller's."""
        state = folders()
        return ["env", f"NETLAB_STATE={state}-machine"] if self.host.local else []

    @property
    def _address(self) -> str:
        return self.host.text("ansible_host", "ansible_ssh_host") or self.host.name

    def _sharing(self) -> list[str]:
        return [
            "-o",
            "ControlMaster=auto",
            "-o",
            f"ControlPersist={_PERSIST}",
            "-o",
            f"ControlPath={self.control}",
        ]

    def _options(self) -> list[str]:
        """The first of an option counts with ssh: ours of the connection, the user's, the rest."""
        text = self.host.text
        given = shlex.split(text("ansible_ssh_common_args"))
        given += shlex.split(text("ansible_ssh_extra_args"))
        options = [*self._sharing(), *given]
        if port := text("ansible_port", "ansible_ssh_port"):
            options += ["-p", port]
        if user := text("ansible_user", "ansible_ssh_user"):
            options += ["-l", user]
        if key := text("ansible_ssh_private_key_file", "ansible_private_key_file"):
            options += ["-i", str(Path(key).expanduser())]
        return [*options, "-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT}", *_ALIVE]


def cause(said: str, code: int | None = None) -> tuple[str, str]:
    """Why a machine cannot be used, and the remedy, from what was printed to standard error."""
    for pattern, words, remedy in _CAUSES:
        if re.search(pattern, said, re.IGNORECASE):
            return words, remedy
    lines = [line for line in said.splitlines() if line.strip() and not _WARNING.search(line)]
    if lines:
        return f"it says {lines[-1].strip()!r}", ""
    ended = "" if code is None else f", with code {code}"
    return f"the connection ended{ended}", "see whether it still runs"
