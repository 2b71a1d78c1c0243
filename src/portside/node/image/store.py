"""Images of this machine, in containers/storage, as podman, buildah and skopeo make them.

The hot path (an image that was asked for before) runs no program: one stat(2) says whether storage has changed.
"""

import asyncio
import json
import logging
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ParamSpec

from portside.domain.image import Holding, MachineImage, Origin, PullProgress
from portside.domain.image_reference import DEFAULT_REGISTRY, LOCAL_REGISTRY, Reference, parse
from portside.domain.record import replace as replace_record
from portside.domain.task.record import Login
from portside.node import process
from portside.node.image.admission import Admission, entered
from portside.node.image.authfile import authfile
from portside.node.image.failure import PullFailed, pull_failed
from portside.node.image.ledger import Entry, Ledger
from portside.node.image.pull import ANSWER_TIMEOUT_S, MIRROR_TIMEOUT_S, PULL_TIMEOUT_S, Pull, remove_scratch
from portside.node.image.storage import Image, State, Storage
from portside.node.interface import ImageInUse

log = logging.getLogger(__name__)

P = ParamSpec("P")

COMMAND_TIMEOUT_S = 60.0
_RETRY_DELAY_S = 0.5
_DRIVER = "overlay"


@dataclass(frozen=True, kw_only=True)
class Obtained:
    """An image, and how it was had: what a pull fetched, in a few words, or empty where it was here."""

    image: Image
    how: str = ""


class StorageUnknown(OSError):
    """It can not be told where podman has its images; the message says why."""


class ImageStore:
    """Finds, pulls and removes. One pull of an image runs at a time, however many tasks wait for it, and however they
    spell its name.

    Args:
        folder: for what Portside remembers of the images that it pulled, and for what a pull fetches.
        holds: a folder for marks of the images that are in use, beside those of other instances.
        mirrors: registry -> where to look first, with a path or without.
        origin: of what is pulled here.
    """

    def __init__(
        self,
        folder: Path,
        *,
        holds: Path | None = None,
        podman: str = "podman",
        mirrors: Mapping[str, str] | None = None,
        pull_timeout_s: float = PULL_TIMEOUT_S,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
        origin: Origin = "pulled",
    ) -> None:
        self._holds, self._held = holds, set[str]()
        self._podman, self._mirrors, self._pull_timeout_s = podman, dict(mirrors or {}), pull_timeout_s
        self._answer_timeout_s, self._origin = answer_timeout_s, origin
        self._scratch = folder / "pull"
        self.ledger = Ledger(folder / "images")
        self._opening: asyncio.Task[Storage] | None = None
        self._by_name: dict[str, Image] = {}
        self._by_digest: dict[str, Image] = {}
        self._state: State | None = None
        self._pulls: dict[str, tuple[Pull, asyncio.Task[Obtained]]] = {}
        self._removing: dict[str, asyncio.Task[int]] = {}
        self._handed: dict[str, datetime] = {}  # image id -> when it was last given to a task
        self._admission = Admission(self._mirror_of)
        self._noted = asyncio.Event()
        self._noted.set()

    async def start(self) -> None:
        """Remove what pulls that were cut short have left, and take note of what came nevertheless."""
        self._noted.clear()
        try:
            remove_scratch(self._scratch)
            storage = await self.open()
            for intent in self.ledger.intents():
                image = storage.named([intent.name]) or storage.with_digest(parse(intent.name).digest or "")
                if image is not None and image.id != intent.before:
                    self._note(self._acquired, image, intent.name, guarded=intent.guarded)
                self.ledger.end(intent.name)
        except StorageUnknown as error:
            log.warning("images can not be looked at: %s", error)
        finally:
            self._noted.set()

    async def open(self) -> Storage:
        """Where images are, asked once. Raises StorageUnknown."""
        if self._opening is None or (self._opening.done() and not _went_well(self._opening)):
            self._opening = asyncio.get_running_loop().create_task(self._ask_where(), name="image storage")
        return await asyncio.shield(self._opening)

    async def ensure(self, name: str, *, pull_anew: bool = False, login: Login | None = None) -> Obtained:
        """The image, pulled if it is not here (or again, where asked for and possible). Raises PullFailed, also for one
        that is here and that the registry does not give to whoever asks (ADR 0025).

        Args: login: for its registry, in place of the host's own (root's `podman login` or `docker login`)."""
        reference = parse(name)
        local = await self._find(reference)
        if local is not None and not (pull_anew and reference.pullable):
            how = await self._admitted(reference, local, login)
            if how:
                local = await self._find(reference)  # it may have been removed meanwhile
            if local is not None:
                return self._hand_out(Obtained(image=local, how=how))
        if not reference.pullable:
            raise pull_failed(reference.canonical, "no such image in local storage", not_found=True)
        try:
            return self._hand_out(await self._pulled(reference, name, login))
        except PullFailed as error:
            if local is None or await self._is_barred(reference, local, login, error):
                raise
            log.warning("%s could not be pulled again; the image that is here is used: %s", name, error)
            return self._hand_out(Obtained(image=local, how="could not be pulled again; the image that was here"))

    async def get(self, name: str, digest: str, login: Login | None = None) -> Obtained:
        """The very image that a pull has named by digest, also if the name has moved on since. Raises PullFailed."""
        if not digest:
            return await self.ensure(name, login=login)
        reference = replace(parse(name), digest=digest)
        found = await self._find(reference)
        if found is not None:
            how = await self._admitted(reference, found, login)
            if how:
                found = await self._find(reference)
            if found is not None:
                return self._hand_out(Obtained(image=found, how=how))
        return await self.ensure(reference.canonical, login=login)

    async def given(self, name: str, digest: str) -> Obtained:
        """The image that a task was given by `ensure` or `get`: nobody is asked again, unless it is gone. Raises
        PullFailed."""
        found = await self._find(replace(parse(name), digest=digest or parse(name).digest))
        return self._hand_out(Obtained(image=found)) if found is not None else await self.get(name, digest)

    def pulls(self) -> tuple[PullProgress, ...]:
        """Those under way, the oldest first."""
        return tuple(pull.progress() for pull, _ in self._pulls.values())

    async def images(self) -> list[MachineImage]:
        """All that are here, newest first, with what is known of those that Portside brought."""
        storage = await self.open()
        entries = self.ledger.entries()
        here = storage.images()
        for image_id in entries.keys() - {each.id for each in here}:
            self.ledger.forget(image_id)  # removed by hand
        return [replace_record(each, holding=self._holding(entries.get(each.id))) for each in here]

    async def note_use(self, last_uses: Mapping[str, datetime], in_use: Collection[str], as_of: datetime) -> None:
        """Keep when images were last used; drop the marks of those that are not in use, as of that moment."""
        for image in await self.images():
            if image.holding is not None:
                at = max(
                    [image.holding.last_used_at, *(last_uses[each] for each in image.digests if each in last_uses)]
                )
                self._note(self.ledger.used, image.id, at)
        for path in self._holds.iterdir() if self._holds and self._holds.is_dir() else ():
            if path.name not in in_use and self._handed.get(path.name, as_of) <= as_of:
                path.unlink(missing_ok=True)
                self._held.discard(path.name)

    async def remove(self, image_id: str, names: Collection[str] | None = None, *, as_of: datetime) -> int:
        """Take names away from an image; with its last name it goes, but for layers that others have, too.

        Args:
            names: by default those that Portside gave it.
            as_of: when it was decided: it stays if it was given to a task since.
        Returns: bytes of the layers that are gone.
        Raises: ImageInUse.
        """
        if self._handed.get(image_id, as_of) > as_of:
            raise ImageInUse("it was given to a task meanwhile")
        if self._is_held_elsewhere(image_id):
            raise ImageInUse("another instance of Portside on this machine uses it")
        pending = self._removing.get(image_id)
        if pending is None:
            pending = asyncio.get_running_loop().create_task(self._remove(image_id, names), name=f"remove {image_id}")
            self._removing[image_id] = pending
            pending.add_done_callback(lambda _: self._removing.pop(image_id, None))
        return await asyncio.shield(pending)

    async def disk_percent(self) -> float:
        """How full the file system of the images is."""
        found = os.statvfs((await self.open()).root)
        used = found.f_blocks - found.f_bfree
        return 100.0 * used / max(1, used + found.f_bavail)

    async def close(self) -> None:
        pending: list[asyncio.Task[Any]] = [task for _, task in self._pulls.values()]
        if self._opening is not None:
            pending.append(self._opening)
        for each in pending:
            each.cancel()
        await asyncio.gather(*pending, *self._removing.values(), return_exceptions=True)
        await self._admission.close()

    # --- what is here ------------------------------------------------------------------------------------------------

    async def _find(self, reference: Reference) -> Image | None:
        """Not one that is just being removed: that is waited for."""
        try:
            storage = await self.open()
        except StorageUnknown as error:
            raise pull_failed(reference.canonical, str(error)) from error
        while True:
            image = self._cached(storage, reference)
            removing = self._removing.get(image.id) if image is not None else None
            if removing is None:
                return image
            await asyncio.wait([removing])

    def _cached(self, storage: Storage, reference: Reference) -> Image | None:
        state = storage.state()
        if state != self._state:
            # An image may have been built, tagged or removed.
            self._by_name.clear()
            self._by_digest.clear()
            self._state = state
        digest, name = reference.digest, reference.local_names[0]
        image = self._by_digest.get(digest) if digest else self._by_name.get(name)
        if image is None:
            image = storage.with_digest(digest) if digest else storage.named(reference.local_names)
            if image is not None:
                if digest:
                    self._by_digest[digest] = image
                else:
                    self._by_name[name] = image
        return image

    async def _ask_where(self) -> Storage:
        output = await self._run("info", "--format", "{{json .Store}}")
        if output.code:
            raise StorageUnknown(output.err.strip())
        try:
            found = json.loads(output.out)
            driver, root = found["graphDriverName"], Path(found["graphRoot"])
        except (ValueError, KeyError) as error:
            raise StorageUnknown(f"podman info: {error!r}") from error
        if driver != _DRIVER:
            raise StorageUnknown(f"podman keeps images with the driver {driver}, and overlay is needed")
        options = found.get("graphOptions") or {}
        others = [Path(str(value)) for key, value in options.items() if str(key).endswith("imagestore")]
        return Storage([root, *others])

    async def _admitted(self, reference: Reference, image: Image, login: Login | None) -> str:
        """How a task has an image that is here, in a few words, empty where nobody was asked. Raises PullFailed."""
        if not await self._is_asked(reference, image, login):
            return ""
        try:
            await self._admission.check(reference, login)
        except PullFailed as error:
            if await self._is_barred(reference, image, login, error):
                raise
            log.warning(
                "%s was here without a login, and is used though it could not be asked for: %s", image.id, error
            )
            return "was here; its registry could not be asked"
        return "was here; its registry gives it"

    async def _is_asked(self, reference: Reference, image: Image, login: Login | None) -> bool:
        """Whether the registry decides who has the image that is here: not of one that was built here."""
        if login is None and not await self._is_guarded(reference, image):
            return False
        if reference.registry is not None:
            return reference.pullable
        built = (await self.open()).named([f"{LOCAL_REGISTRY}/{reference.repository}:{reference.tag}"])
        return built is None or built.id != image.id

    async def _is_barred(self, reference: Reference, image: Image, login: Login | None, error: PullFailed) -> bool:
        """Whether a task does not get the image that is here, after that answer of the registry."""
        return await self._is_guarded(reference, image) or (login is not None and error.denied)

    async def _is_guarded(self, reference: Reference, image: Image) -> bool:
        """Whether the image is here by logins of tasks alone."""
        await self._noted.wait()
        entry = self.ledger.get(image.id)
        if entry is not None:
            return entry.guarded
        # It may have come this moment, and not be noted yet.
        place = (reference.registry, reference.repository)
        return any(
            pull.by_login and (pull.reference.registry, pull.reference.repository) == place
            for pull, _ in self._pulls.values()
        )

    def _hand_out(self, obtained: Obtained) -> Obtained:
        now = datetime.now(UTC)
        self._handed[obtained.image.id] = now
        self._note(self._mark, obtained.image.id)
        self._note(self.ledger.used, obtained.image.id, now)
        return obtained

    def _mark(self, image_id: str) -> None:
        """For the other instances of the machine, which know nothing of this one's tasks."""
        if self._holds is not None and image_id not in self._held:
            self._holds.mkdir(parents=True, exist_ok=True)
            (self._holds / image_id).touch()
            self._held.add(image_id)

    def _is_held_elsewhere(self, image_id: str) -> bool:
        """Marks are at /run/portside/INSTANCE/images/ID."""
        if self._holds is None:
            return False
        return any(path.parent != self._holds for path in self._holds.parents[1].glob(f"*/images/{image_id}"))

    def _holding(self, entry: Entry | None) -> Holding | None:
        if entry is None:
            return None
        last_used_at = max(entry.last_used_at, self._handed.get(entry.id, entry.last_used_at))
        return Holding(origin=entry.origin, acquired_at=entry.acquired_at, last_used_at=last_used_at)

    # --- pulls -------------------------------------------------------------------------------------------------------

    async def _pulled(self, reference: Reference, name: str, login: Login | None) -> Obtained:
        # Who enters by a login of its own neither fails nor succeeds by another's.
        key = f"{reference.canonical} {entered(login)}"
        if key not in self._pulls:
            pull = Pull(reference, name, (await self.open()).blobs(), by_login=login is not None)
            task = asyncio.get_running_loop().create_task(self._pull(pull, login), name=f"pull {name}")
            self._pulls[key] = pull, task
            task.add_done_callback(lambda done: self._forget(key, done))
        pull, task = self._pulls[key]
        pull.names.add(name)
        # Shielded: one task that is stopped does not end the pull that others wait for.
        return await asyncio.shield(task)

    def _forget(self, key: str, done: asyncio.Task[Obtained]) -> None:
        self._pulls.pop(key, None)
        if not done.cancelled():
            done.exception()  # seen, even if every waiter was cancelled

    async def _pull(self, pull: Pull, login: Login | None) -> Obtained:
        """From the registry's mirror if there is one, else, or if that does not have it, from the registry."""
        reference, storage = pull.reference, await self.open()
        mirror = self._mirror_of(reference)
        wanted = (mirror.canonical if mirror is not None else "", reference.canonical)
        local = storage.named(reference.local_names[-1:])
        before = local.id if local is not None else ""
        layers_before = storage.layer_sizes().keys()
        brought_by_hand = {each.id for each in storage.images()} - self.ledger.entries().keys()
        for name in filter(None, wanted):
            by_login = login is not None and name == reference.canonical
            self._note(self.ledger.begin, name, before, guarded=by_login)
        name, guarded = reference.canonical, login is not None
        try:
            if mirror is None or not await self._pull_from_mirror(pull, mirror):
                await self._pull_from(pull, reference, login)
            else:
                guarded = False
                if reference.digest:
                    name = mirror.canonical  # a name with a digest can not be given, and is not needed to find it
            image = await self._find(reference)
            if image is None:
                raise pull_failed(reference.canonical, "no such image in local storage", not_found=True)
            if image.id != before or self.ledger.get(image.id) is not None:
                self._note(self._acquired, image, name, guarded=guarded and image.id not in brought_by_hand)
        finally:
            for each in filter(None, wanted):
                self.ledger.end(each)
        how = pull.summary(storage.blob_sizes(image.id), layers_before)
        log.info("pulled %s: %s", reference.canonical, how)
        return Obtained(image=image, how=how)

    def _mirror_of(self, reference: Reference) -> Reference | None:
        mirror = self._mirrors.get(reference.registry or DEFAULT_REGISTRY)
        if mirror is None:
            return None
        host, _, path = mirror.partition("/")
        repository = reference.canonical.partition("/")[2].partition("@")[0]
        if not reference.digest:
            repository = repository.rpartition(":")[0]
        return Reference(host, f"{path}/{repository}" if path else repository, reference.tag, reference.digest)

    async def _pull_from_mirror(self, pull: Pull, mirror: Reference) -> bool:
        """Whether it came; if so, it has the name that was asked for."""
        try:
            await self._pull_from(pull, mirror, None, is_mirror=True)
        except PullFailed as error:
            log.warning("the mirror does not give %s, so its registry is asked: %s", pull.reference.canonical, error)
            return False
        if not mirror.digest:
            named = await self._run("tag", mirror.canonical, pull.reference.canonical)
            await self._run("untag", mirror.canonical, mirror.canonical)
            return named.code == 0
        return True

    async def _pull_from(self, pull: Pull, source: Reference, login: Login | None, *, is_mirror: bool = False) -> None:
        attempts, limit_s = (1, MIRROR_TIMEOUT_S) if is_mirror else (2, ANSWER_TIMEOUT_S)
        for attempt in range(1, attempts + 1):
            with authfile(source, login) as entry:
                output = await pull.run(
                    *(self._podman, self._scratch, source, entry),
                    timeout_s=self._pull_timeout_s,
                    # A mirror that is down must not keep a task waiting for long.
                    answer_timeout_s=min(limit_s, self._answer_timeout_s),
                    is_patient=not is_mirror,
                )
            if output.code == 0:
                return
            failure = pull_failed(source.canonical, output.err)
            # podman has tried again by itself where the network was at fault.
            if attempt == attempts or failure.passing:
                raise failure
            await asyncio.sleep(_RETRY_DELAY_S)

    def _acquired(self, image: Image, name: str, *, guarded: bool) -> None:
        self.ledger.acquired(image.id, name, self._origin, datetime.now(UTC), guarded=guarded)

    # --- removal -----------------------------------------------------------------------------------------------------

    async def _remove(self, image_id: str, names: Collection[str] | None) -> int:
        storage = await self.open()
        before = storage.layer_sizes()
        image = next((each for each in storage.images() if each.id == image_id), None)
        if image is not None:
            entry = self.ledger.get(image_id)
            ours = entry.names if entry is not None else ()
            chosen = [each for each in (ours if names is None else names) if each in image.names]
            if not chosen and image.names and names is None:
                self.ledger.forget(image_id)  # it bears other people's names alone
                return 0
            output = await self._run("image", "rm", *(chosen or [image_id]))
            if output.code:
                raise ImageInUse(output.err.strip().splitlines()[-1] if output.err.strip() else "podman refuses")
        after = storage.layer_sizes()
        if not any(each.id == image_id for each in storage.images()) or names is None:
            self.ledger.forget(image_id)
            self._handed.pop(image_id, None)
        return sum(size for layer, size in before.items() if layer not in after)

    async def _run(self, *arguments: str) -> process.Output:
        try:
            return await process.run((self._podman, *arguments), timeout_s=COMMAND_TIMEOUT_S)
        except TimeoutError:
            return process.Output(124, "", f"timeout: podman {arguments[0]} took longer than {COMMAND_TIMEOUT_S:.0f} s")
        except FileNotFoundError:
            return process.Output(127, "", f"{self._podman} is not installed: apt-get install podman")

    @staticmethod
    def _note(write: Callable[P, None], *arguments: P.args, **named: P.kwargs) -> None:
        """What is remembered is no reason to fail: the disk may be full."""
        try:
            write(*arguments, **named)
        except OSError as error:
            log.warning("an image could not be taken note of: %s", error)


def _went_well(task: asyncio.Task[Storage]) -> bool:
    return not task.cancelled() and task.exception() is None
