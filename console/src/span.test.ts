import { expect, test } from "vitest";
import { boundsOf, periodOf, spanOf, textOf } from "./span";

test("a span is the same after it was in an address", () => {
  for (const text of ["15m", "3h", "7d", "2w", "90s", "2026-11-27T10:00:00Z..2026-11-27T11:00:00Z"]) {
    expect(spanOf(textOf(spanOf(text)))).toEqual(spanOf(text));
  }
  expect(textOf(spanOf("60m"))).toBe("1h");
});

test("what is no span is three hours, or what the page says", () => {
  for (const text of [null, "", "0h", "h", "2026..", "2026-01-02T00:00:00Z..2026-01-01T00:00:00Z"]) {
    expect(spanOf(text)).toEqual({ seconds: 10800 });
    expect(spanOf(text, "1h")).toEqual({ seconds: 3600 });
  }
});

test("a span until now ends now, another one where it says", () => {
  expect(boundsOf(spanOf("1h"), 7200_500)).toEqual({ start: 3601, end: 7201 });
  expect(boundsOf({ from: 10, to: 20 }, 7200_000)).toEqual({ start: 10, end: 20 });
});

test("long spans and old ones have longer periods", () => {
  const now = Date.parse("2026-11-27T12:00:00Z");
  expect(periodOf(spanOf("3h"), now)).toBe(60);
  expect(periodOf(spanOf("1d"), now)).toBe(300);
  expect(periodOf(spanOf("30d"), now)).toBe(21600);
  expect(periodOf(spanOf("2026-10-01T00:00:00Z..2026-10-01T01:00:00Z"), now)).toBe(300);
});
