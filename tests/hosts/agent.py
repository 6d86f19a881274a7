"""The first process inside the VM: runs what the host asks for, one command at a time.

Each request is a line of JSON on a virtio-serial port, and so is each answer. A child of process 1
does that: process 1 itself only collects orphans, at any time, as any init does. What ends, a lab's
keeper or what an ssh session started, must not linger as a zombie. Standard library only, started
by the interpreter that runs the tests.
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
        done = subprocess.run(
            argv, env=environment, cwd="/", stdin=subprocess.DEVNULL, stdout=out, stderr=err
        )
        answer: dict[str, Any] = {"returncode": done.returncode}
        for key, file in (("stdout", out), ("stderr", err)):
            file.seek(0)
            answer[key] = file.read().decode(errors="replace")
    return answer


def serve(name: str) -> None:
    """Answer requests until the host closes the port."""
    with open(find_port(name), "r+b", buffering=0) as port:
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


def main() -> None:
    if child := os.fork():
        while os.wait()[0] != child:
            pass
    else:
        serve(sys.argv[1])


if __name__ == "__main__":
    main()
