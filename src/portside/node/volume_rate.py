"""How fast volumes of EBS may be read and written: the kernel's throttle of block devices, by control group.

A rule names a device by its number, which another file may have later, and outlives a killed daemon. So a note is kept
of each device that has rules, until they are gone.
"""

import logging
import threading
from collections.abc import Collection
from pathlib import Path

from portside.domain.ebs import Rates
from portside.node.cgroup import CgroupTree

log = logging.getLogger(__name__)

NOTES = "throttled"
"""Below run_dir."""


class VolumeRates:
    """Of one instance. Methods may be called in any thread; none raises."""

    def __init__(self, tree: CgroupTree, notes: Path) -> None:
        self._tree, self._notes = tree, notes
        self._lock = threading.Lock()
        self._wanted: dict[str, tuple[Rates, str]] = {}
        self._devices: dict[str, str] = {}

    def start(self, kept: Collection[str]) -> None:
        """Devices that an earlier daemon left rules of are free again, but for those in `kept`, which volumes are."""
        gone = {_number(each) for each in kept}
        clear_all(self._tree, self._notes, kept=gone)

    def want(self, volume_id: str, rates: Rates, group: str) -> None:
        """From now on, and for containers of the group that start later. Args: group: of a task or an instance."""
        with self._lock:
            if self._wanted.get(volume_id) == (rates, group):
                return
            self._wanted[volume_id] = (rates, group)
            self._apply(volume_id)

    def forget(self, volume_id: str) -> None:
        """It is nobody's any more."""
        with self._lock:
            self._wanted.pop(volume_id, None)

    def attached(self, volume_id: str, device: str) -> None:
        with self._lock:
            self._devices[volume_id] = _number(device)
            self._apply(volume_id)

    def detaching(self, volume_id: str) -> None:
        """Before the device is none any more."""
        with self._lock:
            device = self._devices.pop(volume_id, None)
            _, group = self._wanted.get(volume_id, (None, ""))
            if device is None or not (self._notes / device).exists():
                return
            try:
                self._tree.throttle(device, None, group)
                (self._notes / device).unlink(missing_ok=True)
            except OSError as error:
                log.warning("the rates of volume %s stay for its device %s: %s", volume_id, device, error)

    def started(self, group: str, container: str) -> None:
        """The container's group is there, and no process of its own runs yet."""
        with self._lock:
            for volume_id, (_, holder) in self._wanted.items():
                if group == holder or group.startswith(f"{holder}/"):
                    self._apply(volume_id, f"{group}/{container}")

    def _apply(self, volume_id: str, group: str = "") -> None:
        device = self._devices.get(volume_id)
        if device is None or volume_id not in self._wanted:
            return
        rates, holder = self._wanted[volume_id]
        try:
            self._notes.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self._notes / device).touch()
            self._tree.throttle(device, rates, group or holder)
        except OSError as error:
            log.warning("volume %s is not held to its rates: %s", volume_id, error)


def clear_all(tree: CgroupTree, notes: Path, *, kept: Collection[str] = ()) -> None:
    """No device that a note is of has a rule, but for those in `kept`."""
    for note in list(notes.iterdir()) if notes.is_dir() else ():
        if note.name in kept:
            continue
        try:
            tree.throttle(note.name, None, "")
            note.unlink(missing_ok=True)
        except OSError as error:
            log.warning("the rules of device %s stay: %s", note.name, error)


def _number(device: str) -> str:
    """As `7:3`. A device that is none any more has no number."""
    try:
        return Path(f"/sys/block/{device.removeprefix('/dev/')}/dev").read_text().strip()
    except OSError:
        return "0:0"
