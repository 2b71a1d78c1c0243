"""The daemon's start to the first answer (fresh folder, and with state), and the memory of an idle daemon."""

import tempfile
import time
from pathlib import Path
from typing import Any

from bench.measure import pss_kib, summary
from portside.settings import Settings
from portside.testing.instance import Instance
from portside.testing.wait import free_port


def bench(quick: bool) -> dict[str, Any]:
    fresh: list[float] = []
    again: list[float] = []
    memory: list[float] = []
    for _ in range(3 if quick else 10):
        with tempfile.TemporaryDirectory(prefix="portside-bench-") as folder:
            settings = Settings(data_dir=Path(folder) / "data", port=free_port(), egress="none", hosts_file=None)
            instance = Instance(settings)
            try:
                for samples in (fresh, again):
                    asked = time.monotonic()
                    instance.start()
                    samples.append((time.monotonic() - asked) * 1000)
                    instance.ready()
                    memory.append(pss_kib(instance.pid) / 1024)
                    instance.stop()
            finally:
                instance.destroy()
    return {"fresh_ms": summary(fresh), "again_ms": summary(again), "daemon_pss_mib": summary(memory)}
