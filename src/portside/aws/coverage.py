"""The coverage page: what of each service is implemented, from the services themselves and AWS's models."""

from collections.abc import Sequence

from portside.aws.model import load_model
from portside.aws.service import Service

HEADER = """\
# API coverage

Generated from the code; do not edit. Every operation that is not implemented answers with the error `NotImplemented`
(HTTP 501) and its name, never with a made-up success.
"""


def coverage_page(services: Sequence[Service]) -> str:
    """A Markdown page: a summary, then per service each operation of AWS's model as full, partial (why) or not
    implemented. The same services give the same text."""
    ordered = sorted(services, key=lambda service: service.name)
    return "\n".join((HEADER, *_summary(ordered), "", *(line for one in ordered for line in _section(one)))) + "\n"


def _summary(services: Sequence[Service]) -> list[str]:
    lines = ["| Service | Full | Partial | Of operations |", "|---|---|---|---|"]
    for service in services:
        model = load_model(service.name)
        name = f"[{model.metadata.serviceFullName}](#{service.name})"
        partial = len(service.partial)
        lines.append(f"| {name} | {len(service.handlers) - partial} | {partial} | {len(model.operations)} |")
    return lines


def _section(service: Service) -> list[str]:
    model = load_model(service.name)
    unknown = set(service.partial) - set(service.handlers)
    if unknown:
        raise ValueError(f"{service.name}: partial names operations that are not implemented: {sorted(unknown)}")
    lines = [f"## {service.name}", "", "| Operation | Implemented |", "|---|---|"]
    for name in sorted(service.handlers):
        lines.append(f"| {name} | {'partial: ' + service.partial[name] if name in service.partial else 'full'} |")
    absent = sorted(set(model.operations) - set(service.handlers))
    lines += ["", f"Not implemented ({len(absent)}): {', '.join(absent) or 'none'}.", ""]
    if service.notes:
        lines += [*service.notes.splitlines(), ""]
    return lines
