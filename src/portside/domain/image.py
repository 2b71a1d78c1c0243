"""Images of a machine: what is known of them, who uses them, and which may go. Pure."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final, Literal

from portside.domain.image_reference import parse
from portside.domain.record import Record, Scope
from portside.domain.service.record import Service
from portside.domain.task.record import Task, TaskStatus

Origin = Literal["pulled", "asked", "loaded"]
"""For a task, at a person's word, or from an archive."""
ORDER: Final[tuple[Origin, ...]] = ("pulled", "asked", "loaded")
"""In which they go."""
NO_SPACE = "no space left on device"
"""The cause in the reason of a pull that found the disk full."""


class PullProgress(Record, frozen=True, kw_only=True):
    """A pull that is under way.

    `reference`: the full name that is asked for; `source`: where it is fetched from, another one for a mirror.
    `names`: as the tasks that wait for it spell it. `bytes_total` is None where the registry has not told."""

    reference: str
    source: str
    names: tuple[str, ...]
    started_at: datetime
    layers_done: int = 0
    layers_total: int | None = None
    bytes_done: int = 0
    bytes_total: int | None = None

    @property
    def words(self) -> str:
        """`3 of 5 layers, 63.0 of 126.0 MB`."""
        layers = f"{self.layers_done} of {self.layers_total} layers, " if self.layers_total is not None else ""
        total = f" of {self.bytes_total / 1e6:.1f}" if self.bytes_total is not None else ""
        return f"{layers}{self.bytes_done / 1e6:.1f}{total} MB"


def pulls_of(task: Task, pulls: Iterable[PullProgress]) -> list[PullProgress]:
    """Those that the task waits for."""
    waiting = {h.name for h in task.history if h.pull_asked_at is not None and h.pulled_at is None and h.exit is None}
    images = {each.image for each in task.containers if each.name in waiting}
    return [pull for pull in pulls if images & set(pull.names)]


class Holding(Record, frozen=True, kw_only=True):
    """That Portside itself brought an image to this machine."""

    origin: Origin
    acquired_at: datetime
    last_used_at: datetime


class ImageLayer(Record, frozen=True, kw_only=True):
    """`digest`: of its files, so that images with the same layer are seen to share it."""

    digest: str
    size_bytes: int


class MachineImage(Record, frozen=True, kw_only=True):
    """An image of the machine.

    `digests`: of its manifest, and of the list of manifests it was chosen from. `size_bytes`: of all its layers, those
    that others have, too, included. `layers`: the lowest first. `holding`: None for one that somebody else built or
    pulled."""

    id: str
    digest: str
    digests: frozenset[str]
    names: tuple[str, ...]
    size_bytes: int
    created_at: datetime
    layers: tuple[ImageLayer, ...] = ()
    holding: Holding | None = None


def find(images: Iterable[MachineImage], named: str) -> MachineImage | None:
    """What a name, a digest or the beginning of an id stands for; None if nothing, or not one image alone."""
    reference, known = parse(named), list(images)
    if reference.digest:
        return next((each for each in known if reference.digest in each.digests), None)
    for name in reference.local_names:
        for each in known:
            if name in each.names:
                return each
    begun = [each for each in known if named and each.id.startswith(named.removeprefix("sha256:"))]
    return begun[0] if len(begun) == 1 else None


class CleanupPolicy(Record, frozen=True, kw_only=True):
    """When images go.

    Args:
        minimum_age: an image stays at least this long after it came and after its last use.
        most: images removed in one pass.
        disk_percent: from here on the disk is under pressure: neither age nor number counts.
    """

    minimum_age: timedelta = timedelta(hours=1)
    most: int = 5
    disk_percent: float = 85.0


class ImageUse(Record, frozen=True, kw_only=True):
    """By whom images are used: full name or digest -> who, in words."""

    names: dict[str, str]
    digests: dict[str, str]

    def user_of(self, names: Iterable[str], digests: Iterable[str]) -> str | None:
        """Who uses the image with these names and digests; None if nobody does."""
        found = [self.digests[each] for each in digests if each in self.digests]
        found += [self.names[each] for each in names if each in self.names]
        return found[0] if found else None


class Use(Record, frozen=True, kw_only=True):
    """That a task or a service has an image: the very one, or where that is not known yet, one with such a name."""

    kind: Literal["task", "service"]
    scope: Scope
    cluster: str
    id: str
    digest: str = ""
    names: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        return f"{self.kind} {self.id} in cluster {self.cluster}"

    def is_of(self, image: MachineImage) -> bool:
        return self.digest in image.digests if self.digest else any(each in image.names for each in self.names)


def uses(tasks: Iterable[Task], services: Iterable[Service]) -> Iterator[Use]:
    """What tasks that are not stopped run or are about to, and what the deployments of services are held to, that which
    a failed one would be rolled back to included."""
    for service in services:
        if service.status != "INACTIVE":
            spare = (service.last_completed,) if service.last_completed is not None else ()
            for deployment in (*service.deployments, *spare):
                for digest in deployment.image_digests.values():
                    yield Use(
                        kind="service", scope=service.scope, cluster=service.cluster, id=service.name, digest=digest
                    )
    for task in tasks:
        if task.last_status is TaskStatus.STOPPED:
            continue
        resolved = {h.name: h.image_digest for h in task.history if h.image_digest}
        for container in task.containers:
            reference = parse(container.image)
            digest = resolved.get(container.name) or task.image_digests.get(container.name) or reference.digest or ""
            names = () if digest else tuple(reference.local_names)
            yield Use(kind="task", scope=task.scope, cluster=task.cluster, id=task.id, digest=digest, names=names)


def in_use(tasks: Iterable[Task], services: Iterable[Service]) -> ImageUse:
    """By whom each is used: the last that `uses` tells of."""
    names: dict[str, str] = {}
    digests: dict[str, str] = {}
    for each in uses(tasks, services):
        if each.digest:
            digests[each.digest] = each.words
        names.update(dict.fromkeys(each.names, each.words))
    return ImageUse(names=names, digests=digests)


def last_uses(tasks: Iterable[Task], now: datetime) -> dict[str, datetime]:
    """Digest -> when a task last had the image: now, while it is not stopped."""
    found: dict[str, datetime] = {}
    for task in tasks:
        at = (task.stopped_at or now) if task.last_status is TaskStatus.STOPPED else now
        for h in task.history:
            if h.image_digest:
                found[h.image_digest] = max(at, found.get(h.image_digest, at))
    return found


def choose(
    images: Collection[MachineImage], use: ImageUse, policy: CleanupPolicy, *, now: datetime, is_pressed: bool
) -> Sequence[MachineImage]:
    """The images to remove, in this order: the one whose last use is longest ago first.

    Only those that Portside brought. What a person has pulled or loaded is there for later: it goes only under
    pressure, after what was pulled for tasks; last what was loaded, since no registry has it."""
    free = [
        (each.holding, each)
        for each in images
        if each.holding is not None and use.user_of(each.names, each.digests) is None
    ]
    if is_pressed:
        free.sort(key=lambda one: (ORDER.index(one[0].origin), one[0].last_used_at, one[1].id))
        return [image for _, image in free]
    old = [
        (holding, image)
        for holding, image in free
        if holding.origin == "pulled" and now - max(holding.acquired_at, holding.last_used_at) >= policy.minimum_age
    ]
    old.sort(key=lambda one: (one[0].last_used_at, one[1].id))
    return [image for _, image in old][: policy.most]
