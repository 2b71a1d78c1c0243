import { expect, test } from "vitest";
import { joined, LINES_MOST, type LogLine } from "./logs";

const line = (message: string, timestamp = 1): LogLine => ({ message, timestamp, stream: "web/main/1", ingestionTime: 2 });

test("a line that was read and told live is shown once", () => {
  expect(joined([line("a"), line("b")], [line("b"), line("c")]).map((each) => each.message)).toEqual(["a", "b", "c"]);
});

test("the same words at another time are another line", () => {
  expect(joined([line("a", 1)], [line("a", 2)])).toHaveLength(2);
});

test("the last lines are kept, and no more", () => {
  const many = Array.from({ length: LINES_MOST }, (_, at) => line("old", at));
  const found = joined(many, [line("new", LINES_MOST)]);
  expect(found).toHaveLength(LINES_MOST);
  expect(found.at(-1)?.message).toBe("new");
});
