"""The first process inside the VM: runs what the host asks for, one command at a time.

Each request is a line of JSON on a virtio-serial port, and so is each answer. It runs as process 1,
so it also collects the orphans that a lab leaves: a keeper must not linger as a zombie, or netlab
would take it for one that is still alive. Standard library only, started by the interpreter that
runs the tests.
"""

import json
import os
import subprocess
import sys
import tempfile
from typing import Any


def find_port(name: str) -> str:
    """The device of a virtio-serial port, found by the name that the host gave it."""
    root = "/sys/class/virtio-ports"
    for entry in os.listdir(root):
        with open(f"{root}/{entry}/name") as file:
            if file.read().strip() == name:
                return f"/dev/{entry}"
    raise FileNotFoundError(name)


def run(argv: list[str], environment: dict[str, str]) -> dict[str, Any]:
    """Run one command; its output goes to files, since what it leaves running may hold them."""
    with tempfile.TemporaryFile(dir="/run") as out, tempfile.TemporaryFile(dir="/run") as err:
        # Not Popen.wait(): every child that ends must be collected, adopted ones included.
        child = subprocess.Popen(
            argv, env=environment, cwd="/", stdin=subprocess.DEVNULL, stdout=out, stderr=err
        )
        status = 0
        pid = -1
        while pid != child.pid:
            pid, status = os.wait()
        child.returncode = os.waitstatus_to_exitcode(status)
        answer: dict[str, Any] = {"returncode": child.returncode}
        for key, file in (("stdout", out), ("stderr", err)):
            file.seek(0)
            answer[key] = file.read().decode(errors="replace")
    return answer


def main() -> None:
    with open(find_port(sys.argv[1]), "r+b", buffering=0) as port:
        port.write(b'{"ready": true}\n')
        pending = b""
        while chunk := port.read(65536):
            pending += chunk
            while b"\n" in pending:
                line, pending = pending.split(b"\n", 1)
                request = json.loads(line)
                answer = memoryview(json.dumps(run(**request)).encode() + b"\n")
                while answer:
                    answer = answer[port.write(answer) :]
    os.sync()


if __name__ == "__main__":
    main()
