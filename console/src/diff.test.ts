import { expect, test } from "vitest";
import { diff } from "./diff";

const told = (before: string, after: string) => diff(before, after).map(({ sign, text }) => sign + text);

test("only what is different is taken out and put in", () => {
  expect(told("a\nb\nc", "a\nx\nc")).toEqual([" a", "-b", "+x", " c"]);
  expect(told("a\nb", "a\nb\nc")).toEqual([" a", " b", "+c"]);
  expect(told("a\nb", "b")).toEqual(["-a", " b"]);
});

test("equal texts have no difference", () => {
  expect(told("a\nb", "a\nb")).toEqual([" a", " b"]);
});

test("each side can be made again from the difference", () => {
  const [before, after] = ["p\nq\nr\ns\nt\np", "q\np\ns\ns\nu\np\nv"];
  const lines = diff(before, after);
  const side = (sign: string) => lines.filter((each) => each.sign !== sign).map((each) => each.text).join("\n");
  expect(side("+")).toBe(before);
  expect(side("-")).toBe(after);
});
