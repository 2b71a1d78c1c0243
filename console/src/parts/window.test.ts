import { expect, test } from "vitest";
import { rowsSeen } from "./window";

test("at the top the first rows are made, and room for all others", () => {
  expect(rowsSeen(1000, 200, 800, 40)).toEqual({ start: 0, end: 42, above: 0, below: 958 * 40 });
});

test("in the middle those around what is seen are, and the room adds up", () => {
  const rows = rowsSeen(1000, -20_000, 800, 40);
  expect(rows.start).toBeLessThanOrEqual(500);
  expect(rows.end).toBeGreaterThanOrEqual(520);
  expect(rows.end - rows.start).toBeLessThan(90);
  expect(rows.above + rows.below + (rows.end - rows.start) * 40).toBe(1000 * 40);
});

test("at the end the last are made, also after the list has become shorter", () => {
  expect(rowsSeen(1000, -39_200, 800, 40).end).toBe(1000);
  const shorter = rowsSeen(130, -39_200, 800, 40);
  expect(shorter.end).toBe(130);
  expect(shorter.start).toBeLessThan(130);
});
