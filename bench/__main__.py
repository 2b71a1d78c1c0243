"""`python -m bench [NAME ...] [--quick] [--json FILE]`: runs the benchmarks and prints a table."""

import argparse
import importlib
import json
import sys
from typing import Any

from bench.measure import machine

NAMES = (
    "startup",
    "launch",
    "dependency",
    "replace",
    "scale",
    "deployment",
    "scheduler",
    "pull",
    "api",
    "balancer",
    "balancer_changes",
    "balancer_scale",
    "network",
    "nlb",
    "dns",
    "logs",
    "usage",
    "metrics",
    "storage",
    "volume",
    "console",
)


def flat(value: Any, path: str = "") -> list[tuple[str, str]]:
    """Nested figures as (dotted name, text) rows."""
    if isinstance(value, dict):
        return [row for key, each in value.items() for row in flat(each, f"{path}.{key}" if path else str(key))]
    if isinstance(value, float):
        return [(path, f"{value:.4g}" if value < 1000 else f"{value:.0f}")]
    return [(path, str(value))]


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(NAMES)}; all if none is given")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: shows that it works, not how fast it is")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(NAMES)
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    results: dict[str, Any] = {"machine": machine()}
    for name in arguments.names or NAMES:
        print(f"… {name}", file=sys.stderr, flush=True)
        results[name] = importlib.import_module(f"bench.{name}").bench(arguments.quick)
        for key, text in flat(results[name], name):
            print(f"{key:48} {text}", flush=True)
    for key, text in flat(results["machine"], "machine"):
        print(f"{key:48} {text}")
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(results, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
