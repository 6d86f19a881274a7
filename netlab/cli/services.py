"""Commands that change Services of a running lab: scale, endpoint, service."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from netlab.cli.app import App, common, wait_option
from netlab.cli.labs import work_done
from netlab.cli.topologies import warn

if TYPE_CHECKING:
    from netlab.running import Lab

F = TypeVar("F", bound=Callable[..., Any])
_POLICY = click.Choice(["Cluster", "Local"])


@click.command()
@click.argument("service")
@click.argument("endpoints", type=click.IntRange(0))
@wait_option
@common
@click.pass_obj
def scale(app: App, service: str, endpoints: int, wait: float) -> None:
    """Give a Service so many endpoints, of the pods that it selects, evenly on the nodes."""
    _change(app, service, wait, lambda lab: lab.scale(service, endpoints, wait=wait))


@click.group()
def endpoint() -> None:
    """Add an endpoint to a Service, or remove one."""


@endpoint.command("add")
@click.argument("service")
@click.argument("pod")
@wait_option
@common
@click.pass_obj
def endpoint_add(app: App, service: str, pod: str, wait: float) -> None:
    """Make a pod an endpoint of a Service, whether or not it selects the pod."""
    _change(app, service, wait, lambda lab: lab.add_endpoint(service, pod, wait=wait))


@endpoint.command("remove")
@click.argument("service")
@click.argument("pod")
@wait_option
@common
@click.pass_obj
def endpoint_remove(app: App, service: str, pod: str, wait: float) -> None:
    """Take an endpoint from a Service; the pod stays."""
    _change(app, service, wait, lambda lab: lab.remove_endpoint(service, pod, wait=wait))


@click.group()
def service() -> None:
    """Add a Service, or remove one."""


def _service_options(function: F) -> F:
    """Fields of a Service, by their names in `netlab.Service`."""
    for option in (
        click.option("--namespace", default="default", show_default=True, help="Its namespace."),
        click.option(
            "--external-ip",
            "external_ips",
            multiple=True,
            metavar="ADDRESS",
            help="Another address that leads to it; repeatable.",
        ),
        click.option("--internal-traffic-policy", type=_POLICY, default="Cluster", help=_LOCAL),
        click.option("--external-traffic-policy", type=_POLICY, default="Cluster", help=_LOCAL),
        click.option(
            "--affinity", type=int, default=0, metavar="SECONDS", help="A client's endpoint stays."
        ),
        click.option(
            "--cluster-ip",
            multiple=True,
            metavar="ADDRESS|None",
            help="Else it is allocated; repeatable for both families.",
        ),
        click.option(
            "--pod", "pods", multiple=True, metavar="POD", help="An endpoint; repeatable."
        ),
        click.option(
            "--selector",
            multiple=True,
            metavar="KEY=VALUE",
            help="A label of the pods that are its endpoints; repeatable.",
        ),
        click.option("--type", type=click.Choice(["ClusterIP", "NodePort"]), default="ClusterIP"),
        click.option("--node-port", type=int, default=0, metavar="N", help="Else allocated."),
        click.option("--protocol", type=click.Choice(["TCP", "UDP"]), default="TCP"),
        click.option("--target-port", type=int, default=0, metavar="N", help="Of the pods."),
        click.option("--port", type=int, default=0, metavar="N", help="Of the Service."),
    ):
        function = option(function)
    return function


_LOCAL = "With Local a node sends to its own pods alone."


@service.command("add")
@click.argument("name")
@_service_options
@wait_option
@common
@click.pass_obj
def service_add(
    app: App, /, wait: float, pods: tuple[str, ...], cluster_ip: tuple[str, ...], **fields: Any
) -> None:
    """Add a Service; without --selector and --pod its endpoints are all pods of its namespace."""
    from netlab.topology.model import Service

    one = cluster_ip[0] if len(cluster_ip) == 1 else cluster_ip or None
    added = Service(**fields, pods=pods or None, cluster_ip=one)
    name = f"{added.namespace}/{added.name}"
    _change(app, name, wait, lambda lab: lab.add_service(added, wait=wait))


@service.command("remove")
@click.argument("name")
@wait_option
@common
@click.pass_obj
def service_remove(app: App, name: str, wait: float) -> None:
    """Remove a Service; its pods stay."""
    _change(app, name, wait, lambda lab: lab.remove_service(name, wait=wait), removed=True)


def _change(
    app: App, name: str, wait: float, work: Callable[[Lab], object], *, removed: bool = False
) -> None:
    """Change a lab's Services, and show every port of the one of this name."""
    from netlab import api
    from netlab.report.tables import services_table
    from netlab.status import services_of
    from netlab.topology.changes import named

    lab = api.lab(app.lab, wait=wait)
    work(lab)
    applied, layout = lab.applied, lab.layout
    assert applied is not None
    app.say(work_done(lab))
    found = services_of(() if removed else [named(layout.services, name)])
    ports = [msgspec.to_builtins(port) for port in found]
    document = {
        "lab": lab.name,
        "services": ports,
        "changes": applied.changes,
        "writes": applied.writes,
        "seconds": round(applied.seconds, 3),
        "warnings": warn(app, layout),
    }
    app.show(document, lambda: f"{name}: removed" if removed else services_table(ports))
