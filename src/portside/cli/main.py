"""The `portside` command: what a person types. Each command lives in a file of its own and is imported when it runs.

`env`, `version` and a plain `up` are answered before the command line library is even imported, which takes 0.2 s: the
first two stand in shells' start-up files, the third is waited for.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from portside.cli.failure import Failure

if TYPE_CHECKING:
    import typer

QUICK = (["env"], ["version"], ["up"], ["up", "--detach"], ["up", "-d"])


def main(argv: list[str] | None = None) -> None:
    """Runs one command and exits with its code: 0 done, 1 failed, 2 wrongly called, 130 interrupted."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        if argv in QUICK:
            _quick(argv)
            sys.exit(0)
        application()(args=argv, prog_name="portside")
    except Failure as failure:
        sys.exit(report(failure))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader went away (`portside status | head`): nothing to say, and nowhere to say it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def report(failure: Failure) -> int:
    """Says on standard error what is wrong and what to do. Returns the exit code."""
    red, plain = ("\033[31m", "\033[0m") if sys.stderr.isatty() else ("", "")
    print(f"{red}portside: {failure.message}{plain}", file=sys.stderr)
    for line in failure.advice:
        print(f"  {line}", file=sys.stderr)
    return 1


def _quick(argv: list[str]) -> None:
    """One of QUICK, with the settings of the environment."""
    if argv == ["version"]:
        from portside import __version__

        print(f"portside {__version__}")
        return
    from portside.cli.instance import settings_of

    if argv[0] == "up":
        from portside.cli import lifecycle

        lifecycle.up(settings_of({}), detach=len(argv) == 2)
        return
    from portside.cli.environment import show

    show(settings_of({}))


def application() -> "typer.Typer":
    """All commands."""
    import typer

    app = typer.Typer(
        name="portside",
        help="A Fargate of one's own: Amazon ECS on this machine, with real containers, networks and load balancers.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )

    data_dir = Annotated[
        Path | None,
        typer.Option("--data-dir", metavar="DIR", help="Where the state lives. [PORTSIDE_DATA_DIR, /var/lib/portside]"),
    ]
    port = Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="Where the API answers. [PORTSIDE_PORT, 4566]")
    ]
    host = Annotated[str | None, typer.Option("--host", help="The address it listens on. [PORTSIDE_HOST, 127.0.0.1]")]
    egress = Annotated[
        str | None,
        typer.Option(
            "--egress", metavar="host|none|NETNS", help="Where tasks reach the world. [PORTSIDE_EGRESS, host]"
        ),
    ]
    auth = Annotated[bool | None, typer.Option("--auth", help="Verify request signatures. [PORTSIDE_AUTH]")]
    task_endpoint = Annotated[
        bool | None,
        typer.Option("--task-endpoint", help="Take any key from tasks, as --auth is off. [PORTSIDE_TASK_ENDPOINT]"),
    ]
    strict_pulls = Annotated[
        bool | None,
        typer.Option(
            "--strict-pulls", help="Fargate tasks pull images by their subnet's routes. [PORTSIDE_STRICT_PULLS]"
        ),
    ]
    pace = Annotated[
        str | None,
        typer.Option(
            "--pace", metavar="N", help="Long timers of services run N times as fast as on AWS. [PORTSIDE_PACE, 1]"
        ),
    ]
    other_containers = Annotated[
        bool | None,
        typer.Option(
            "--other-containers",
            help="Also measure containers of Docker, Podman and Kubernetes. [PORTSIDE_OTHER_CONTAINERS]",
        ),
    ]
    ebs_rates = Annotated[
        bool | None,
        typer.Option("--ebs-rates", help="Hold volumes of EBS to their IOPS and throughput. [PORTSIDE_EBS_RATES]"),
    ]
    hosts_file = Annotated[
        str | None,
        typer.Option(
            "--hosts-file",
            metavar="FILE",
            help='Where load balancers\' names are written; "" for nowhere. [PORTSIDE_HOSTS_FILE, /etc/hosts]',
        ),
    ]
    envoy_path = Annotated[
        Path | None,
        typer.Option("--envoy-path", metavar="FILE", help="Another Envoy than the packaged one. [PORTSIDE_ENVOY_PATH]"),
    ]
    durability = Annotated[
        str | None,
        typer.Option(
            "--durability",
            metavar="normal|full",
            help="Whether answers survive a power cut, too. [PORTSIDE_DURABILITY, normal]",
        ),
    ]
    s3_endpoint = Annotated[
        str | None,
        typer.Option(
            "--s3-endpoint",
            metavar="URL",
            help="An S3 that holds environment files and takes access logs. [PORTSIDE_S3_ENDPOINT, none]",
        ),
    ]
    otlp_endpoint = Annotated[
        str | None,
        typer.Option(
            "--otlp-endpoint",
            metavar="URL",
            help="Who is told metrics and logs by OTLP over HTTP. [PORTSIDE_OTLP_ENDPOINT, nobody]",
        ),
    ]
    mirrors = Annotated[
        list[str] | None,
        typer.Option(
            "--mirror",
            metavar="REGISTRY=HOST[:PORT][/PATH]",
            help="Where a registry's images are looked for first; may be repeated. [PORTSIDE_MIRRORS]",
        ),
    ]
    as_json = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]

    def settings(**given: Any) -> Any:
        from portside.cli.instance import settings_of

        return settings_of(given)

    @app.command()
    def up(
        detach: Annotated[bool, typer.Option("--detach", "-d", help="In the background; returns when ready.")] = False,
        port: port = None,
        data_dir: data_dir = None,
        egress: egress = None,
        host: host = None,
        auth: auth = None,
        task_endpoint: task_endpoint = None,
        strict_pulls: strict_pulls = None,
        pace: pace = None,
        other_containers: other_containers = None,
        ebs_rates: ebs_rates = None,
        hosts_file: hosts_file = None,
        envoy_path: envoy_path = None,
        durability: durability = None,
        s3_endpoint: s3_endpoint = None,
        otlp_endpoint: otlp_endpoint = None,
        mirrors: mirrors = None,
    ) -> None:
        """Start Portside. Harmless if it runs already."""
        from portside.cli import lifecycle

        lifecycle.up(
            settings(
                port=port,
                data_dir=data_dir,
                egress=egress,
                host=host,
                auth=auth,
                task_endpoint=task_endpoint,
                strict_pulls=strict_pulls,
                pace=pace,
                other_containers=other_containers,
                ebs_rates=ebs_rates,
                hosts_file=hosts_file,
                envoy_path=envoy_path,
                durability=durability,
                s3_endpoint=s3_endpoint,
                otlp_endpoint=otlp_endpoint,
                mirrors=mirrors or None,
            ),
            detach=detach,
        )

    @app.command()
    def down(
        purge: Annotated[bool, typer.Option("--purge", help="Remove its state, too: everything is forgotten.")] = False,
        data_dir: data_dir = None,
        hosts_file: hosts_file = None,
    ) -> None:
        """Stop Portside, its containers, networks and load balancers."""
        from portside.cli import lifecycle

        lifecycle.down(settings(data_dir=data_dir, hosts_file=hosts_file), purge=purge)

    @app.command()
    def status(as_json: as_json = False, data_dir: data_dir = None) -> None:
        """What runs: clusters, services, tasks and why they are as they are, load balancers and their URLs."""
        from portside.cli import status as command

        command.show(settings(data_dir=data_dir), as_json=as_json)

    @app.command()
    def why(
        task: Annotated[
            str,
            typer.Argument(metavar="TASK|SERVICE", help="A task's id, the beginning of it or its ARN; or a service."),
        ],
        cluster: Annotated[str, typer.Option("--cluster", help="Only in this cluster.")] = "",
        as_json: as_json = False,
        data_dir: data_dir = None,
    ) -> None:
        """The story of a task: why it does not run or why it ended. Of a service, what keeps it from being steady."""
        from portside.cli import why as command

        command.show(settings(data_dir=data_dir), task, cluster=cluster, as_json=as_json)

    @app.command()
    def interrupt(
        task: Annotated[str, typer.Argument(metavar="TASK", help="Its id, the beginning of it, or its ARN.")],
        cluster: Annotated[str, typer.Option("--cluster", help="Only in this cluster.")] = "",
        data_dir: data_dir = None,
    ) -> None:
        """Take back the capacity of a task on FARGATE_SPOT: the notice, SIGTERM, and its end as on AWS."""
        from portside.cli import interrupt as command

        command.interrupt(settings(data_dir=data_dir), task, cluster=cluster)

    @app.command()
    def service(
        name: Annotated[str, typer.Argument(metavar="SERVICE", help="Its name or ARN.")],
        cluster: Annotated[str, typer.Option("--cluster", help="Only in this cluster.")] = "",
        once: Annotated[bool, typer.Option("--once", help="Do not go on.")] = False,
        as_json: as_json = False,
        data_dir: data_dir = None,
    ) -> None:
        """A service as its deployment goes: tasks old and new, their health, events, and what it waits for. Live."""
        from portside.cli import service as command

        command.show(settings(data_dir=data_dir), name, cluster=cluster, once=once, as_json=as_json)

    @app.command()
    def top(
        cluster: Annotated[str, typer.Option("--cluster", help="Only this cluster.")] = "",
        once: Annotated[bool, typer.Option("--once", help="All of it, once, as a table.")] = False,
        as_json: as_json = False,
        data_dir: data_dir = None,
    ) -> None:
        """What clusters, services, tasks and containers use, live; logs, shells and stories by keys as in k9s."""
        from portside.cli.top import command

        command.show(settings(data_dir=data_dir), cluster=cluster, once=once, as_json=as_json)

    @app.command()
    def plot(
        name: Annotated[str, typer.Argument(metavar="SERVICE", help="Its name or ARN.")],
        metric: Annotated[
            str,
            typer.Argument(
                metavar="METRIC",
                help="cpu, memory, tasks, network-in, network-out, disk, disk-read, disk-write, requests, errors, "
                "response-time, healthy, flows or flow-bytes.",
            ),
        ] = "cpu",
        since: Annotated[str, typer.Option("--since", metavar="30m|1h|TIME", help="From when on.")] = "1h",
        file: Annotated[
            Path | None, typer.Option("--output", "-o", metavar="FILE", help="As .svg or .png, not at the terminal.")
        ] = None,
        cluster: Annotated[str, typer.Option("--cluster", help="Only in this cluster.")] = "",
        data_dir: data_dir = None,
    ) -> None:
        """What a service used, or was asked, over time, drawn: portside plot web cpu --since 1h"""
        from portside.cli.plot import command

        command.show(settings(data_dir=data_dir), name, metric, cluster=cluster, since=since, file=file)

    @app.command()
    def network(
        everything: Annotated[bool, typer.Option("--all", help="Also what nothing is in.")] = False,
        as_json: as_json = False,
        data_dir: data_dir = None,
    ) -> None:
        """VPCs as a tree: subnets and where they lead, what is in them, and who may talk to whom."""
        from portside.cli import network as command

        command.show(settings(data_dir=data_dir), everything=everything, as_json=as_json)

    @app.command()
    def reach(
        source: Annotated[
            str,
            typer.Argument(metavar="FROM", help="A task, instance, interface, load balancer, or address."),
        ],
        target: Annotated[str, typer.Argument(metavar="TO", help="Likewise.")],
        target_port: Annotated[int, typer.Argument(metavar="PORT", min=0, max=65535)] = 0,
        protocol: Annotated[str, typer.Option("--protocol", help="tcp, udp or icmp.")] = "tcp",
        as_json: as_json = False,
        data_dir: data_dir = None,
    ) -> None:
        """Whether a packet would pass, and which rule, route or list lets it through or stops it (exit code 3)."""
        from portside.cli import reach as command

        code = command.show(
            settings(data_dir=data_dir), source, target, target_port, protocol=protocol, as_json=as_json
        )
        raise typer.Exit(code)

    @app.command()
    def problems(as_json: as_json = False, data_dir: data_dir = None) -> None:
        """Everything that is wrong now, why, and what to do (exit code 1 if something does not work)."""
        from portside.cli import problem

        raise typer.Exit(problem.show(settings(data_dir=data_dir), as_json=as_json))

    @app.command()
    def lb(
        words: Annotated[
            list[str] | None,
            typer.Argument(metavar="[NAME] | route NAME METHOD URL", help="Only this one; or where a request goes."),
        ] = None,
        headers: Annotated[
            list[str] | None, typer.Option("--header", "-H", metavar="'NAME: VALUE'", help="route: what it sends.")
        ] = None,
        source: Annotated[
            str, typer.Option("--from", metavar="ADDRESS", help="route: the client's address.")
        ] = "127.0.0.1",
        as_json: as_json = False,
        data_dir: data_dir = None,
    ) -> None:
        """Load balancers: listeners, rules in their order, targets with their health, and what was counted.

        route NAME METHOD URL: which rule a request would go by, and why none before it."""
        from portside.cli import load_balancer

        match words or []:
            case ["route", name, method, url]:
                load_balancer.route(
                    *(settings(data_dir=data_dir), name, method, url),
                    headers=headers or [],
                    source=source,
                    as_json=as_json,
                )
            case [] | [_] as named:
                load_balancer.show(settings(data_dir=data_dir), "".join(named), as_json=as_json)
            case _:
                raise Failure("portside lb takes one name, or: route NAME METHOD URL")

    @app.command()
    def forward(
        target: Annotated[str, typer.Argument(metavar="TASK:PORT", help="A task's id or its beginning, and a port.")],
        local_port: Annotated[
            int | None,
            typer.Argument(metavar="[LOCALPORT]", min=0, max=65535, help="The same by default; 0 for any free one."),
        ] = None,
        container: Annotated[str, typer.Option("--container", "-c", help="Where each has a network of its own.")] = "",
        cluster: Annotated[str, typer.Option("--cluster", help="Only in this cluster.")] = "",
        data_dir: data_dir = None,
    ) -> None:
        """Connections to 127.0.0.1:LOCALPORT go on inside of a task, whatever its groups and routes. Takes root."""
        from portside.cli import forward as command

        command.run(settings(data_dir=data_dir), target, local_port, cluster=cluster, container=container)

    @app.command()
    def capture(
        task: Annotated[str, typer.Argument(metavar="TASK", help="Its id, the beginning of it, or its ARN.")],
        file: Annotated[
            Path | None, typer.Option("--write", "-w", metavar="FILE|-", help="As pcap, for Wireshark and tcpdump.")
        ] = None,
        protocol: Annotated[str | None, typer.Option("--protocol", help="Only tcp, udp, icmp, arp ...")] = None,
        address: Annotated[str | None, typer.Option("--address", help="Only from or to it.")] = None,
        packet_port: Annotated[int | None, typer.Option("--packet-port", help="Only from or to it.")] = None,
        interface: Annotated[str | None, typer.Option("--interface", help="Not the task's own; any for all.")] = None,
        count: Annotated[int | None, typer.Option("--count", min=1, help="So many packets.")] = None,
        seconds: Annotated[float | None, typer.Option("--seconds", min=0.1, help="So long.")] = None,
        container: Annotated[str, typer.Option("--container", "-c", help="Where each has a network of its own.")] = "",
        cluster: Annotated[str, typer.Option("--cluster", help="Only in this cluster.")] = "",
        data_dir: data_dir = None,
    ) -> None:
        """The packets of a task, as they pass: lines, or a pcap file. Takes root."""
        from portside.cli import capture as command

        command.run(
            *(settings(data_dir=data_dir), task),
            cluster=cluster,
            container=container,
            file=file,
            wanted=command.Wanted(protocol=protocol, address=address, port=packet_port),
            interface=interface,
            count=count,
            seconds=seconds,
        )

    @app.command()
    def ca(data_dir: data_dir = None) -> None:
        """Print the root certificate (PEM) of the authority that issues what is requested of Certificate Manager."""
        from portside.cli import ca as command

        command.show(settings(data_dir=data_dir))

    @app.command()
    def demo(
        remove: Annotated[bool, typer.Option("--remove", help="Remove the demonstration again.")] = False,
        demo_port: Annotated[
            int | None,
            typer.Option("--demo-port", min=1, max=65535, help="The load balancer's port. [the first free from 8080]"),
        ] = None,
        port: port = None,
        data_dir: data_dir = None,
        egress: egress = None,
        hosts_file: hosts_file = None,
    ) -> None:
        """Host a small application, two services behind a load balancer, and show every aws command for it."""
        from portside.cli.demo import stage

        chosen = settings(port=port, data_dir=data_dir, egress=egress, hosts_file=hosts_file)
        if remove:
            stage.remove(chosen)
        else:
            stage.perform(chosen, demo_port)

    @app.command()
    def doctor(
        as_json: as_json = False, port: port = None, data_dir: data_dir = None, envoy_path: envoy_path = None
    ) -> None:
        """Check what Portside needs of this machine, and say how to mend what is missing."""
        from portside.cli import doctor as command

        chosen = settings(port=port, data_dir=data_dir, envoy_path=envoy_path)
        raise typer.Exit(command.show(chosen, as_json=as_json))

    @app.command()
    def env(port: port = None, data_dir: data_dir = None) -> None:
        """Print the variables that lead AWS tools here: eval "$(portside env)"."""
        from portside.cli.environment import show

        show(settings(port=port, data_dir=data_dir), port_given=port is not None)

    @app.command()
    def logs(
        target: Annotated[
            str, typer.Argument(metavar="[SERVICE|FAMILY|TASK]", help="Whose; without it the daemon's own log.")
        ] = "",
        follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as it grows.")] = False,
        since: Annotated[
            str | None, typer.Option("--since", metavar="5m|1h|TIME", help="All from then on, instead of --lines.")
        ] = None,
        grep: Annotated[str | None, typer.Option("--grep", metavar="REGEX", help="Only lines with it.")] = None,
        lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many lines of the past.")] = 50,
        container: Annotated[str, typer.Option("--container", "-c", help="Only this container's.")] = "",
        cluster: Annotated[str, typer.Option("--cluster", help="Only in this cluster.")] = "",
        as_json: Annotated[bool, typer.Option("--json", help="A JSON document a line.")] = False,
        data_dir: data_dir = None,
    ) -> None:
        """What containers write, across the tasks of a service: portside logs web -f. Alone: the daemon's own log."""
        chosen = settings(data_dir=data_dir)
        if target:
            from portside.cli import output

            output.show(
                *(chosen, target),
                cluster=cluster,
                container=container,
                since=since,
                grep=grep,
                follow=follow,
                lines=lines,
                as_json=as_json,
            )
            return
        if since is not None or grep is not None or container or cluster or as_json:
            raise Failure(
                "of the daemon's own log there are only --lines and --follow",
                "Whose output is it to be? portside logs SERVICE",
            )
        from portside.cli import lifecycle

        lifecycle.logs(chosen, follow=follow, lines=lines)

    @app.command(name="exec")
    def execute(
        task: Annotated[str, typer.Argument(metavar="TASK", help="Its id, the beginning of it, or its ARN.")],
        command: Annotated[list[str], typer.Argument(metavar="-- COMMAND…", help="What to run, after two dashes.")],
        container: Annotated[
            str | None, typer.Option("--container", "-c", help="Needed if the task has several.")
        ] = None,
        cluster: Annotated[str, typer.Option("--cluster", help="Only in this cluster.")] = "",
        data_dir: data_dir = None,
    ) -> None:
        """Run a command in a task's container, at this terminal: portside exec TASK -- sh"""
        from portside.cli import exec as session

        chosen = settings(data_dir=data_dir)
        raise typer.Exit(session.run(chosen, task, cluster=cluster, container=container, command=command))

    @app.command()
    def unit(
        port: port = None,
        data_dir: data_dir = None,
        egress: egress = None,
        host: host = None,
        auth: auth = None,
        task_endpoint: task_endpoint = None,
        strict_pulls: strict_pulls = None,
        pace: pace = None,
        other_containers: other_containers = None,
        ebs_rates: ebs_rates = None,
        hosts_file: hosts_file = None,
        envoy_path: envoy_path = None,
        durability: durability = None,
        s3_endpoint: s3_endpoint = None,
        otlp_endpoint: otlp_endpoint = None,
        mirrors: mirrors = None,
    ) -> None:
        """Print a systemd unit: portside unit > /etc/systemd/system/portside.service"""
        from portside.cli import systemd

        given = {
            "port": port,
            "data_dir": data_dir,
            "egress": egress,
            "host": host,
            "auth": auth,
            "task_endpoint": task_endpoint,
            "strict_pulls": strict_pulls,
            "pace": pace,
            "other_containers": other_containers,
            "ebs_rates": ebs_rates,
        }
        given |= {"hosts_file": hosts_file, "envoy_path": envoy_path, "durability": durability}
        given |= {"s3_endpoint": s3_endpoint, "otlp_endpoint": otlp_endpoint}
        chosen: dict[str, Any] = {**given, "mirrors": mirrors or None}
        print(systemd.unit(settings(**chosen)), end="")

    from portside.cli import image_command

    image_command.add(app, settings, data_dir=data_dir, as_json=as_json, mirrors=mirrors)

    from portside.cli import volume_command

    volume_command.add(app, settings, data_dir=data_dir, as_json=as_json)

    @app.command()
    def coverage() -> None:
        """Which operations of which AWS services are answered, as markdown."""
        from portside.coverage import page

        print(page(), end="")

    @app.command()
    def version() -> None:
        """Print the version."""
        _quick(["version"])

    @app.command()
    def install() -> None:
        """Install what is missing: packages and the Python environment (done by the launcher)."""
        raise Failure("`install` is the launcher's work", "Run the file `portside` at the root of the clone.")

    return app
