/** Spans of time as the address has them: `3h` until now, or `2026-11-27T10:00:00Z..2026-11-27T11:00:00Z`. */

export type Span = { seconds: number } | { from: number; to: number };

const UNITS: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86400, w: 604800 };

/** Anything else than a span is `otherwise`. Times are seconds since 1970. */
export function spanOf(text: string | null, otherwise = "3h"): Span {
  const relative = /^(\d{1,5})([smhdw])$/.exec(text ?? "");
  if (relative && Number(relative[1]) > 0) return { seconds: Number(relative[1]) * (UNITS[relative[2] ?? ""] ?? 1) };
  const [from, to] = (text ?? "").split("..").map((each) => Date.parse(each) / 1000);
  if (from !== undefined && to !== undefined && from < to) return { from, to };
  return text === otherwise ? { seconds: 3 * 3600 } : spanOf(otherwise, otherwise);
}

export function textOf(span: Span): string {
  if ("from" in span) return `${iso(span.from)}..${iso(span.to)}`;
  for (const unit of ["w", "d", "h", "m"]) {
    const size = UNITS[unit] ?? 1;
    if (span.seconds % size === 0) return `${span.seconds / size}${unit}`;
  }
  return `${span.seconds}s`;
}

export const isRelative = (span: Span): span is { seconds: number } => "seconds" in span;

/** Where it begins and ends, in whole seconds. */
export function boundsOf(span: Span, nowMs: number): { start: number; end: number } {
  if ("from" in span) return { start: Math.floor(span.from), end: Math.ceil(span.to) };
  const end = Math.ceil(nowMs / 1000);
  return { start: end - span.seconds, end };
}

export const lengthOf = (span: Span) => ("from" in span ? span.to - span.from : span.seconds);

/** So that a chart has some hundreds of points, and none is asked for finer than it is kept. */
export function periodOf(span: Span, nowMs: number): number {
  const age = nowMs / 1000 - boundsOf(span, nowMs).start;
  const least = age > 63 * 86400 ? 3600 : age > 15 * 86400 ? 300 : 60;
  const wanted = lengthOf(span) / 360;
  return Math.max(least, [60, 300, 900, 3600, 21600].find((each) => wanted <= each) ?? 86400);
}

/** `2026-11-27T10:00:00Z`. */
export const iso = (seconds: number) => new Date(Math.floor(seconds) * 1000).toISOString().replace(".000Z", "Z");
