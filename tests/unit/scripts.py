"""What the tests of `netlab plan --sh` share: rendering parts of plans, running lines of it."""

import subprocess
from typing import Any

from netlab.plan.shell import render
from netlab.plan.types import Object, Plan
from tests.unit.plans import plan_of, space_with

SERVER = "print('server')\n"


def script(**fields: Any) -> str:
    return render(plan_of("flannel-vxlan", **fields), SERVER)


def script_with(*objects: Object) -> str:
    """The script of one node, `a`, that holds these objects."""
    return render(Plan("x", (), {"a": space_with(*objects)}), "")


def section(text: str, title: str) -> str:
    return text.split(f"# ==== {title}")[1].split("# ====")[0]


def check_syntax(text: str) -> None:
    subprocess.run(["sh", "-n"], input=text, text=True, check=True)


def words_for(function: str, lines: str, before: str = "") -> list[list[str]]:
    """The words that one of the script's own functions would get in each of its calls."""
    # Each call is the number of its words and then these, since a word may be anything.
    program = f"dir=/d\n{before}\n{function}() {{ printf '%s\\0' $# \"$@\"; }}\n"
    result = subprocess.run(["sh", "-uc", program + lines], capture_output=True, check=True)
    printed = iter(result.stdout.decode().split("\0")[:-1])
    return [[next(printed) for _ in range(int(count))] for count in printed]
