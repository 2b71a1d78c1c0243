import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Pace } from "./pace";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("a storm of changes is two readings: one at once, one after all of it", async () => {
  let readings = 0;
  const pace = new Pace(async () => void readings++, 250);
  for (let change = 0; change < 100; change++) pace.ask();
  await vi.advanceTimersByTimeAsync(0);
  expect(readings).toBe(1);
  await vi.advanceTimersByTimeAsync(250);
  expect(readings).toBe(2);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(readings).toBe(2);
});

test("what changes during a reading is read after it", async () => {
  let readings = 0;
  let finish = () => {};
  const pace = new Pace(() => {
    readings++;
    return new Promise<void>((done) => (finish = done));
  }, 250);
  pace.ask();
  pace.ask();
  await vi.advanceTimersByTimeAsync(1000);
  expect(readings).toBe(1);
  finish();
  await vi.advanceTimersByTimeAsync(250);
  expect(readings).toBe(2);
});

test("a page that was left reads nothing more", async () => {
  let readings = 0;
  const pace = new Pace(async () => void readings++, 250);
  pace.ask();
  pace.ask();
  pace.end();
  await vi.advanceTimersByTimeAsync(1000);
  expect(readings).toBe(1);
});
