import { expect, test } from "vitest";
import { messagesOf } from "./event-stream";

/** As AWS frames it; the checksums are not looked at, for TCP has its own. */
function framed(type: string, payload: string): Uint8Array {
  const [name, value, body] = [":event-type", type, payload].map((text) => new TextEncoder().encode(text));
  if (!name || !value || !body) throw new Error();
  const headers = new Uint8Array([name.length, ...name, 7, value.length >> 8, value.length & 255, ...value]);
  const frame = new Uint8Array(16 + headers.length + body.length);
  const view = new DataView(frame.buffer);
  view.setUint32(0, frame.length);
  view.setUint32(4, headers.length);
  frame.set(headers, 12);
  frame.set(body, 12 + headers.length);
  return frame;
}

test("messages are read from the stream wherever it was cut", () => {
  const one = framed("sessionStart", "{}");
  const two = framed("sessionUpdate", '{"sessionResults":[{"message":"é"}]}');
  const both = new Uint8Array([...one, ...two]);
  for (let cut = 0; cut <= both.length; cut++) {
    const first = messagesOf(both.slice(0, cut));
    const second = messagesOf(new Uint8Array([...first.rest, ...both.slice(cut)]));
    const all = [...first.messages, ...second.messages];
    expect(all.map((each) => each.type)).toEqual(["sessionStart", "sessionUpdate"]);
    expect(all[1]?.payload).toEqual({ sessionResults: [{ message: "é" }] });
    expect(second.rest).toHaveLength(0);
  }
});

test("what is no stream is an error and no endless wait", () => {
  expect(() => messagesOf(new Uint8Array(20))).toThrow("broken");
});
