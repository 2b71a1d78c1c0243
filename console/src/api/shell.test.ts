import { expect, test } from "vitest";
import { decoded, encoded, type Frame, uuidOf } from "./shell";

test("a frame is read as it was written", async () => {
  const frame: Frame = {
    type: "input_stream_data",
    id: Uint8Array.from({ length: 16 }, (_, at) => at),
    sequence: 7,
    flags: 1,
    payloadType: 1,
    payload: new TextEncoder().encode("ls\n"),
  };
  const bytes = await encoded(frame, 1_700_000_000_000);
  expect(bytes.length).toBe(116 + 4 + 3);
  expect(decoded(bytes.buffer)).toEqual(frame);
});

test("the halves of an id are swapped on the wire, and right in words", async () => {
  const id = Uint8Array.from({ length: 16 }, (_, at) => at);
  const bytes = await encoded({ type: "acknowledge", id, sequence: 0, flags: 3, payloadType: 0, payload: new Uint8Array() }, 0);
  expect(Array.from(bytes.subarray(64, 66))).toEqual([8, 9]);
  expect(uuidOf(id)).toBe("00010203-0405-0607-0809-0a0b0c0d0e0f");
});
