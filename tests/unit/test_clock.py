"""The real clock."""

from datetime import timedelta

import uvloop

from portside.control.clock import SystemClock


def test_a_sleep_does_not_end_early() -> None:
    """When `sleep_until` returns it is that time, also where the event loop's timers count whole milliseconds: who
    waits for a deadline does not wait again."""
    clock = SystemClock()

    async def run() -> None:
        for tenths in range(1, 60):
            at = clock.now() + timedelta(microseconds=100 * tenths)
            await clock.sleep_until(at)
            assert clock.now() >= at

    uvloop.run(run())
