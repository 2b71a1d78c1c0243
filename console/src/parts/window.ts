/** Which rows of a long table are there to be seen: only those are made, and empty room stands for the others. */

import { type RefObject, useEffect, useId, useLayoutEffect, useMemo, useState } from "react";

/** Of fewer rows all are made. */
export const ALL = 60;
/** So many rows are made above and below what is seen. */
const BEYOND = 14;
/** The window moves by so many rows at once, or each turn of a wheel would make the table anew. */
const STEP = 14;

export interface Rows {
  start: number;
  end: number;
  /** Pixels of the rows above and below. */
  above: number;
  below: number;
}

/** Args: top: of the first row, from the upper edge of what is seen (negative: above it). */
export function rowsSeen(count: number, top: number, seen: number, height: number): Rows {
  const first = Math.floor(-top / height) - BEYOND;
  const start = Math.max(0, Math.min(Math.floor(first / STEP) * STEP, count - STEP));
  const last = Math.ceil((seen - top) / height) + BEYOND;
  const end = Math.min(count, Math.max(start + STEP, Math.ceil(last / STEP) * STEP));
  return { start, end, above: start * height, below: (count - end) * height };
}

/** Follows scrolling, of the page or of anything in it. Args: around: the element around the table. */
export function useRows(count: number, around: RefObject<HTMLElement | null>): Rows {
  const [rows, setRows] = useState<Rows>(() => rowsSeen(count, 0, innerHeight, 40));
  useEffect(() => {
    if (count <= ALL) return;
    let frame = 0;
    let height = 0;
    const look = () => {
      frame = 0;
      const body = around.current?.querySelector("tbody");
      if (!body) return;
      const made = body.rows;
      const first = made[0]?.getBoundingClientRect();
      const last = made[made.length - 1]?.getBoundingClientRect();
      const found = first && last && made.length > 1 ? (last.bottom - first.top) / made.length : 40;
      // Rows differ by a little. What is followed is that they have become others, not each of them.
      if (Math.abs(found - height) > height / 5) height = found;
      const next = rowsSeen(count, body.getBoundingClientRect().top, innerHeight, height);
      setRows((before) =>
        before.start === next.start && before.end === next.end && Math.abs(before.below - next.below) < 1 && Math.abs(before.above - next.above) < 1
          ? before
          : next,
      );
    };
    const soon = () => {
      frame ||= requestAnimationFrame(look);
    };
    look();
    addEventListener("scroll", soon, { capture: true, passive: true });
    addEventListener("resize", soon);
    return () => {
      cancelAnimationFrame(frame);
      removeEventListener("scroll", soon, { capture: true });
      removeEventListener("resize", soon);
    };
  }, [count, around]);
  return count <= ALL ? { start: 0, end: count, above: 0, below: 0 } : { ...rows, end: Math.min(rows.end, count) };
}

/** A class whose tables have so much room above and below their rows. The rule itself is changed, not a variable: a
 * variable is inherited, so the browser would look at each element of each row again. */
export function useRoom(rows: Rows): string {
  const name = `rows-${useId().replace(/[^A-Za-z0-9]/g, "")}`;
  const sheet = useMemo(() => {
    const made = new CSSStyleSheet();
    made.insertRule(`.${name} > * tbody::before { content: ""; display: table-row; height: 0 }`);
    made.insertRule(`.${name} > * tbody::after { content: ""; display: table-row; height: 0 }`);
    return made;
  }, [name]);
  useLayoutEffect(() => {
    document.adoptedStyleSheets.push(sheet);
    return () => {
      document.adoptedStyleSheets = document.adoptedStyleSheets.filter((each) => each !== sheet);
    };
  }, [sheet]);
  useLayoutEffect(() => {
    const [below, above] = sheet.cssRules as unknown as CSSStyleRule[];
    if (above) above.style.height = `${rows.above}px`;
    if (below) below.style.height = `${rows.below}px`;
  }, [sheet, rows.above, rows.below]);
  return name;
}
