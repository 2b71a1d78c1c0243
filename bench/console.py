"""The console in Debian's Chromium, headless, before a thousand tasks: how soon it is there, how it scrolls, what an
open page costs Portside, and how large it is."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.measure import cpu_s, percentile, pss_kib, summary
from portside.settings import DEFAULT_CONSOLE_DIR
from portside.testing.wait import free_port

TASKS = 1000
PIXELS = 120
"""A notch of a mouse wheel, each frame: a fast scroll."""
CHROMIUM = "/usr/bin/chromium"

SEEN = """() => {
  const look = () => {
    const row = document.querySelector("tbody a[href*='/tasks/']");
    if (row && window.firstSeen === undefined) window.firstSeen = performance.now();
    if (window.firstSeen === undefined) requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}"""
"""When the first row with a task is painted, since the page was asked for."""

SCROLL = """async (pixels) => {
  const frames = [];
  const rows = [];
  let before = performance.now();
  for (let at = -1; scrollY > at && frames.length < 5000; ) {
    at = scrollY;
    scrollBy(0, pixels);
    await new Promise((done) => requestAnimationFrame(done));
    const now = performance.now();
    frames.push(now - before);
    before = now;
    const middle = document.elementFromPoint(innerWidth / 2, innerHeight / 2);
    rows.push(middle !== null && middle.closest("tr") !== null);
  }
  return { frames, blank: rows.filter((each) => !each).length };
}"""
"""From top to end, so many pixels each frame; and how often there was no row in the middle of what is seen."""


@contextmanager
def served() -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="portside-bench-") as folder:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.console_server", str(port), folder, str(TASKS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", "the server did not start"
            yield f"http://127.0.0.1:{port}", process
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(30)


def metrics(debugger: Any) -> dict[str, float]:
    return {each["name"]: each["value"] for each in debugger.send("Performance.getMetrics")["metrics"]}


def size() -> dict[str, Any]:
    """What the build made, as browsers get it."""
    packed = list((DEFAULT_CONSOLE_DIR / "assets").glob("*.gz"))
    return {
        "all_packed_kib": sum(each.stat().st_size for each in packed) / 1024,
        "largest_script_kib": max(each.stat().st_size for each in packed if ".js" in each.name) / 1024,
        "files": len(packed),
    }


def cpu_percent(process: "subprocess.Popen[str]", seconds: float, change_every_s: float | None) -> float:
    """Of one core, while so much time goes by and a task ends and another begins so often."""
    assert process.stdin is not None
    before, until = cpu_s(process.pid), time.monotonic() + seconds
    started = time.monotonic()
    while time.monotonic() < until:
        if change_every_s is not None:
            process.stdin.write("\n")
            process.stdin.flush()
        time.sleep(min(change_every_s or seconds, max(0.0, until - time.monotonic())))
    return 100 * (cpu_s(process.pid) - before) / (time.monotonic() - started)


def bench(quick: bool) -> dict[str, Any]:
    from playwright.sync_api import sync_playwright

    if not Path(CHROMIUM).exists() or not (DEFAULT_CONSOLE_DIR / "index.html").exists():
        raise RuntimeError("Chromium and a built console are wanted: ./portside install --for-tests")
    rounds, quiet_s = (2, 5.0) if quick else (8, 30.0)
    results: dict[str, Any] = {"size": size()}
    with served() as (url, process), sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
        )
        for place, label in (("tasks", "tasks_1000"), ("clusters/shop", "cluster_1000")):
            first, again, transferred, busy = [], [], [], []
            for _ in range(rounds):
                # A context of its own has nothing of the page yet.
                context = browser.new_context(viewport={"width": 1280, "height": 800})
                page = context.new_page()
                page.add_init_script(f"({SEEN})()")
                debugger = context.new_cdp_session(page)
                debugger.send("Performance.enable", {"timeDomain": "threadTicks"})
                for samples in (first, again):
                    page.goto("about:blank")
                    page.goto(f"{url}/#/{place}")
                    page.locator("tbody a[href*='/tasks/']").first.wait_for()
                    samples.append(float(page.evaluate("window.firstSeen")))
                    if samples is first:
                        busy.append(1000 * metrics(debugger)["TaskDuration"])
                        sizes = "performance.getEntriesByType('resource').filter((e) => e.name.includes('/assets/'))"
                        transferred.append(float(page.evaluate(f"{sizes}.reduce((all, e) => all + e.transferSize, 0)")))
                context.close()
            results[label] = {
                "first_view_ms": summary(first),
                "again_ms": summary(again),
                "main_thread_ms": percentile(busy, 0.5),
                "transferred_kib": percentile(transferred, 0.5) / 1024,
            }
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        page = context.new_page()
        page.goto(f"{url}/#/tasks")
        page.get_by_text(f"({TASKS})").wait_for()
        debugger = context.new_cdp_session(page)
        # Its own time on a core: others that use the machine lengthen frames, not this.
        debugger.send("Performance.enable", {"timeDomain": "threadTicks"})
        before = metrics(debugger)
        frames, blank = [], 0
        for _ in range(1 if quick else 3):
            page.evaluate("scrollTo(0, 0)")
            found = page.evaluate(SCROLL, PIXELS)
            frames += found["frames"]
            blank += found["blank"]
        after = metrics(debugger)
        results["scroll_1000"] = {
            "pixels_per_frame": PIXELS,
            "main_thread_ms_per_frame": 1000 * (after["TaskDuration"] - before["TaskDuration"]) / len(frames),
            "frame_ms": summary(frames) | {"p99": percentile(frames, 0.99)},
            "longer_than_50_ms_percent": 100 * sum(each > 50 for each in frames) / len(frames),
            "frames_without_a_row": blank,
            "rows_made": page.locator("tbody tr").count(),
        }
        page.evaluate("scrollTo(0, 0)")
        cost = {}
        for name, every in (("quiet", None), ("a_change_each_10_s", 10.0), ("a_change_each_second", 1.0)):
            cost[f"page_open_{name}_cpu_percent"] = cpu_percent(process, quiet_s, every)
        results["portside_memory_mib"] = pss_kib(process.pid) / 1024
        context.close()
        browser.close()
        for name, every in (("quiet", None), ("a_change_each_10_s", 10.0), ("a_change_each_second", 1.0)):
            cost[f"no_page_{name}_cpu_percent"] = cpu_percent(process, quiet_s, every)
        results["cost"] = cost
    return results
