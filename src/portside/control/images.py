"""The image loop: removes images that nobody uses, notes when they were last used, makes room where a pull finds none.

What may go is decided by `domain/image.py`; what is in use is read from the store right before each removal.
"""

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from portside.control.loop import Loop
from portside.domain import image as domain
from portside.domain.clock import Clock
from portside.domain.image import CleanupPolicy, ImageUse, MachineImage, Use
from portside.domain.image_reference import parse
from portside.domain.refusal import RefusalKind, Refused
from portside.domain.table import SERVICE, TASK
from portside.node.interface import ImageInUse, Node
from portside.store.interface import Store

log = logging.getLogger(__name__)

INTERVAL: Final = timedelta(minutes=30)
"""Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/automated_image_cleanup.html"""
POLICY: Final = CleanupPolicy()


class ImageLoop:
    """One worker for the machine's images."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        node: Node,
        *,
        policy: CleanupPolicy = POLICY,
        interval: timedelta = INTERVAL,
    ) -> None:
        self._store, self._clock, self._node = store, clock, node
        self._policy, self._interval = policy, interval
        self._loop = Loop("images", clock, self._step, resync_s=2 * interval.total_seconds())
        self._first_at = clock.now() + interval
        self._cleaning = asyncio.Lock()
        self._made_room_at: datetime | None = None

    async def start(self) -> None:
        self._first_at = self._clock.now() + self._interval
        self._loop.wake("")

    async def close(self) -> None:
        await self._loop.close()

    async def make_room(self, since: datetime) -> bool:
        """A pull that began then found no space: all images that nobody uses go. Whether there is more room now."""
        async with self._cleaning:
            if self._made_room_at is None or self._made_room_at < since:
                log.warning("a pull has found no space: images that nobody uses are removed")
                if not await self._clean(is_full=True):
                    return False
                self._made_room_at = self._clock.now()
            return True

    async def rows(self) -> list[tuple[MachineImage, tuple[Use, ...]]]:
        """Each image of the machine with all that use it. Raises OSError."""
        images = await self._node.images()
        using = list(dict.fromkeys(domain.uses(self._store.scan(TASK), self._store.scan(SERVICE))))
        return [(image, tuple(each for each in using if each.is_of(image))) for image in images]

    async def disk_percent(self) -> float:
        """How full the file system of the images is. Raises OSError."""
        return await self._node.image_disk_percent()

    async def users(self) -> dict[str, str]:
        """By whom each image of the machine is used: id -> in words. Raises OSError."""
        images = await self._node.images()
        use = self._use()
        found = {each.id: use.user_of(each.names, each.digests) for each in images}
        return {image_id: user for image_id, user in found.items() if user is not None}

    async def remove(self, named: str) -> dict[str, Any]:
        """Remove one image, or one name of an image that has several, whoever brought it here.

        Returns: {"id", "names", "freedBytes"}. Raises: Refused NOT_FOUND; IN_USE, with who uses it. OSError."""
        images = await self._node.images()
        image = domain.find(images, named)
        if image is None:
            raise Refused(RefusalKind.NOT_FOUND, f"there is no image {named} on this machine")
        user = self._use().user_of(image.names, image.digests)
        if user is not None:
            raise Refused(RefusalKind.IN_USE, f"the image {named} is used by {user}")
        only = [each for each in parse(named).local_names if each in image.names][:1]
        names = tuple(only) if only else image.names
        try:
            freed = await self._node.remove_image(image.id, names, as_of=self._clock.now())
        except ImageInUse as error:
            raise Refused(RefusalKind.IN_USE, f"the image {named} can not be removed: {error}") from error
        log.info("removed the image %s as asked: %.1f MB freed", named, freed / 1e6)
        return {"id": image.id, "names": list(names), "freedBytes": freed}

    async def _step(self, _key: str) -> datetime | None:
        if self._clock.now() < self._first_at:
            return self._first_at
        try:
            async with self._cleaning:
                await self._clean()
        except OSError as error:
            log.warning("images can not be looked at: %s", error)
        return self._clock.now() + self._interval

    async def _clean(self, *, is_full: bool = False) -> int:
        """One pass. Returns how many images it removed. Raises OSError."""
        images = await self._node.images()
        now, use = self._clock.now(), self._use()
        in_use = [each.id for each in images if use.user_of(each.names, each.digests) is not None]
        await self._node.note_image_use(domain.last_uses(self._store.scan(TASK), now), in_use, now)
        images = await self._node.images()  # with the uses that were just noted
        percent = await self._node.image_disk_percent()
        is_pressed = is_full or percent >= self._policy.disk_percent
        now, use = self._clock.now(), self._use()
        removed = freed = 0
        for image in domain.choose(images, use, self._policy, now=now, is_pressed=is_pressed):
            if is_pressed and not is_full and await self._node.image_disk_percent() < self._policy.disk_percent:
                break
            gone = await self._remove(image)
            if gone is not None:
                removed, freed = removed + 1, freed + gone
        if removed or is_pressed:
            log.info(
                "image cleanup: %d of %d images removed, %.1f MB freed; the disk is %.0f %% full",
                *(removed, len(images), freed / 1e6, await self._node.image_disk_percent()),
            )
        return removed

    async def _remove(self, image: MachineImage) -> int | None:
        """Bytes that are free now; None if it stays: it may have come into use since it was chosen."""
        if self._use().user_of(image.names, image.digests) is not None:
            return None
        assert image.holding is not None, "only what Portside brought is chosen"
        name = _name(image)
        try:
            freed = await self._node.remove_image(image.id, as_of=self._clock.now())
        except ImageInUse as error:
            log.info("the image %s stays: %s", name, error)
            return None
        log.info("removed the image %s, last used at %s: %.1f MB freed", name, image.holding.last_used_at, freed / 1e6)
        return freed

    def _use(self) -> ImageUse:
        return domain.in_use(self._store.scan(TASK), self._store.scan(SERVICE))


def _name(image: MachineImage) -> str:
    names: Sequence[str] = image.names
    return names[0] if names else f"sha256:{image.id[:12]}"
