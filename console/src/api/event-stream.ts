/** Answers that go on, in AWS's binary framing: lengths, headers, a JSON payload, a checksum. */

export interface Message {
  type: string;
  payload: unknown;
}

/** The whole messages at the beginning of what has come so far, and the rest. */
export function messagesOf(bytes: Uint8Array): { messages: Message[]; rest: Uint8Array } {
  const messages: Message[] = [];
  let start = 0;
  while (bytes.length - start >= 16) {
    const view = new DataView(bytes.buffer, bytes.byteOffset + start);
    const length = view.getUint32(0);
    if (length < 16) throw new Error("the stream is broken");
    if (bytes.length - start < length) break;
    const payloadAt = 12 + view.getUint32(4);
    const headers = headersOf(bytes.subarray(start + 12, start + payloadAt));
    const payload = new TextDecoder().decode(bytes.subarray(start + payloadAt, start + length - 4));
    messages.push({
      type: headers[":event-type"] ?? headers[":exception-type"] ?? "",
      payload: payload ? JSON.parse(payload) : {},
    });
    start += length;
  }
  return { messages, rest: bytes.slice(start) };
}

function headersOf(bytes: Uint8Array): Record<string, string> {
  const found: Record<string, string> = {};
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = (from: number, length: number) => new TextDecoder().decode(bytes.subarray(from, from + length));
  let at = 0;
  while (at < bytes.length) {
    const nameLength = view.getUint8(at);
    const name = text(at + 1, nameLength);
    at += 1 + nameLength;
    if (view.getUint8(at) !== 7) throw new Error("a header that is no text");
    const length = view.getUint16(at + 1);
    found[name] = text(at + 3, length);
    at += 3 + length;
  }
  return found;
}

/** Each message as it comes, until the stream ends or the signal says so. */
export async function* messages(body: ReadableStream<Uint8Array>): AsyncGenerator<Message> {
  const reader = body.getReader();
  let rest: Uint8Array = new Uint8Array();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const all = new Uint8Array(rest.length + value.length);
    all.set(rest);
    all.set(value, rest.length);
    const found = messagesOf(all);
    rest = found.rest;
    yield* found.messages;
  }
}
