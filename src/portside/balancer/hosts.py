"""The hosts file: one marked block per instance, everything else kept as it is."""

import errno
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from portside.balancer.interface import BalancerConfig
from portside.balancer.lock import held
from portside.domain.load_balancer import Target, ZoneMapping
from portside.domain.load_balancer_rule import zonal_name
from portside.domain.target_group_health import answering_zones


def lines(configs: Iterable[BalancerConfig]) -> list[str]:
    """The load balancers' names, in order: each leads to its addresses on the host, a zone's to the zone's."""
    named: list[tuple[ZoneMapping, str]] = []
    for config in configs:
        balancer, targets = config.load_balancer, _targets_of(config)
        named += [(zone, balancer.dns_name) for zone in answering_zones(balancer, config.target_groups, targets)]
        named += [(zone, zonal_name(balancer, zone)) for zone in balancer.zones]
    return sorted(f"{zone.host_address}\t{name}" for zone, name in named if zone.host_address and name)


def _targets_of(config: BalancerConfig) -> Callable[[str], list[Target]]:
    return lambda group_arn: [each for each in config.targets if each.target_group_arn == group_arn]


def with_block(text: str, instance_id: str, lines: Sequence[str]) -> str:
    """The file's text with this instance's block replaced, added, or (without lines) removed. Pure."""
    begin, end = f"# BEGIN portside {instance_id}", f"# END portside {instance_id}"
    kept: list[str] = []
    inside = False
    for line in text.splitlines():
        if line.strip() == begin:
            inside = True
        elif inside and line.strip() == end:
            inside = False
        elif not inside:
            kept.append(line)
    if inside:
        # the end marker was lost: take out only what is ours by its names
        return with_block(_without_marker(text, begin), instance_id, lines)
    if lines:
        kept += [begin, *lines, end]
    return "".join(f"{line}\n" for line in kept)


def _without_marker(text: str, begin: str) -> str:
    return "".join(f"{line}\n" for line in text.splitlines() if line.strip() != begin and ".elb.localhost" not in line)


def write_block(path: Path, lock: Path, instance_id: str, lines: Sequence[str]) -> bool:
    """Bring the file's block up to date; returns whether it changed. Several instances take turns by `lock`.

    Effects: the file is replaced in one step, or, where it is a mount of its own (in a container), written in place.
    Raises: OSError."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.touch()
    with held(lock):
        try:
            # what is no UTF-8 stays as it is, too
            text = path.read_text(errors="surrogateescape")
        except FileNotFoundError:
            text = ""
        changed = with_block(text, instance_id, lines)
        if changed == text or (not text and not lines):
            return False
        temporary = path.with_name(f".{path.name}.portside-{instance_id}")
        try:
            temporary.write_text(changed, errors="surrogateescape")
            if path.exists():
                shutil.copymode(path, temporary)
                owner = path.stat()
                os.chown(temporary, owner.st_uid, owner.st_gid)
            temporary.replace(path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            if error.errno not in (errno.EBUSY, errno.EXDEV, errno.EROFS, errno.EACCES):
                raise
            path.write_text(changed, errors="surrogateescape")
        return True
