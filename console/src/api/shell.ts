/** A container's terminal, over the data channel that ExecuteCommand opens: Session Manager's binary messages. */

const HEADER = 116;
const TYPE = { input: 1, size: 3, handshakeRequest: 5, handshakeResponse: 6, flag: 10 } as const;
const TERMINATE = 2;
const RESEND_MS = 1000;
/** Of one message: what is pasted goes in pieces. */
const PIECE_BYTES = 1024;

export interface Frame {
  type: string;
  id: Uint8Array;
  sequence: number;
  flags: number;
  payloadType: number;
  payload: Uint8Array;
}

export async function encoded(frame: Frame, now: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(HEADER + 4 + frame.payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, HEADER);
  bytes.set(new TextEncoder().encode(frame.type.padEnd(32)), 4);
  view.setUint32(36, 1);
  view.setBigUint64(40, BigInt(now));
  view.setBigInt64(48, BigInt(frame.sequence));
  view.setBigUint64(56, BigInt(frame.flags));
  // The two halves of the id are swapped.
  bytes.set(frame.id.subarray(8), 64);
  bytes.set(frame.id.subarray(0, 8), 72);
  bytes.set(new Uint8Array(await crypto.subtle.digest("SHA-256", new Uint8Array(frame.payload))), 80);
  view.setUint32(112, frame.payloadType);
  view.setUint32(HEADER, frame.payload.length);
  bytes.set(frame.payload, HEADER + 4);
  return bytes;
}

export function decoded(data: ArrayBuffer): Frame {
  const bytes = new Uint8Array(data);
  const view = new DataView(data);
  const header = view.getUint32(0);
  const id = new Uint8Array(16);
  id.set(bytes.subarray(72, 80));
  id.set(bytes.subarray(64, 72), 8);
  return {
    type: new TextDecoder().decode(bytes.subarray(4, 36)).replace(/[\0 ]+$/, ""),
    id,
    sequence: Number(view.getBigInt64(48)),
    flags: Number(view.getBigUint64(56)),
    payloadType: header === HEADER ? view.getUint32(112) : 0,
    payload: bytes.slice(header + 4, header + 4 + view.getUint32(header)),
  };
}

export function uuidOf(id: Uint8Array): string {
  const hex = Array.from(id, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

export interface Session {
  streamUrl: string;
  tokenValue: string;
}

/** One session, from its opening to its end. */
export class Shell {
  private readonly socket: WebSocket;
  private readonly waiting: { payloadType: number; payload: Uint8Array }[] = [];
  private expected = 0;
  private sequence = 0;
  private isSending = false;
  private timer: ReturnType<typeof setInterval> | undefined;
  /** Frames go out in the order in which they were made, though their digests are awaited. */
  private order: Promise<void> = Promise.resolve();

  constructor(
    session: Session,
    private readonly onOutput: (bytes: Uint8Array) => void,
    private readonly onEnd: (words: string) => void,
  ) {
    this.socket = new WebSocket(session.streamUrl);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () =>
      this.socket.send(JSON.stringify({ MessageSchemaVersion: "1.0", RequestId: crypto.randomUUID(), TokenValue: session.tokenValue }));
    this.socket.onmessage = ({ data }) => this.take(decoded(data as ArrayBuffer));
    this.socket.onclose = () => this.end("The session has ended.");
  }

  type(text: string): void {
    const bytes = new TextEncoder().encode(text);
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) this.put(TYPE.input, bytes.slice(at, at + PIECE_BYTES));
  }

  resize(rows: number, cols: number): void {
    this.put(TYPE.size, new TextEncoder().encode(JSON.stringify({ rows, cols })));
  }

  close(): void {
    if (this.socket.readyState === WebSocket.OPEN) {
      void this.send("input_stream_data", this.sequence + this.waiting.length, TYPE.flag, new Uint8Array([0, 0, 0, TERMINATE]));
    }
    void this.order.then(() => this.socket.close());
    clearInterval(this.timer);
  }

  private take(frame: Frame): void {
    if (frame.type === "acknowledge") {
      const told = JSON.parse(new TextDecoder().decode(frame.payload));
      if (told.AcknowledgedMessageSequenceNumber === this.sequence) {
        this.waiting.shift();
        this.sequence++;
        this.isSending = false;
        this.next();
      }
    } else if (frame.type === "channel_closed") {
      const told = JSON.parse(new TextDecoder().decode(frame.payload));
      this.end(told.Output || (told.ExitCode === undefined ? "The session has ended." : `It ended with ${told.ExitCode}.`));
    } else if (frame.type === "output_stream_data") {
      if (frame.sequence > this.expected) return; // one before it is missing; it will come again
      const isFresh = frame.sequence === this.expected;
      this.expected += isFresh ? 1 : 0;
      void this.send("acknowledge", 0, 0, new TextEncoder().encode(
        JSON.stringify({
          AcknowledgedMessageType: frame.type,
          AcknowledgedMessageId: uuidOf(frame.id),
          AcknowledgedMessageSequenceNumber: frame.sequence,
          IsSequentialMessage: true,
        }),
      ));
      if (!isFresh) return;
      if (frame.payloadType === TYPE.handshakeRequest) this.shake(frame.payload);
      else if (frame.payloadType === TYPE.input) this.onOutput(frame.payload);
    }
  }

  private shake(payload: Uint8Array): void {
    const asked = JSON.parse(new TextDecoder().decode(payload));
    const done = (asked.RequestedClientActions as { ActionType: string }[]).map(({ ActionType }) => ({
      ActionType,
      ActionStatus: 1,
      ActionResult: null,
      Error: "",
    }));
    // Before anything that was typed meanwhile.
    this.waiting.splice(this.isSending ? 1 : 0, 0, {
      payloadType: TYPE.handshakeResponse,
      payload: new TextEncoder().encode(JSON.stringify({ ClientVersion: "1.2.0.0", ProcessedClientActions: done, Errors: [] })),
    });
    this.timer = setInterval(() => this.resend(), RESEND_MS);
    this.next();
  }

  private put(payloadType: number, payload: Uint8Array): void {
    this.waiting.push({ payloadType, payload });
    if (this.timer !== undefined) this.next();
  }

  /** One input at a time: the next when this one is acknowledged. */
  private next(): void {
    const [first] = this.waiting;
    if (this.isSending || !first) return;
    this.isSending = true;
    void this.send("input_stream_data", this.sequence, first.payloadType, first.payload);
  }

  private resend(): void {
    const [first] = this.waiting;
    if (this.isSending && first) void this.send("input_stream_data", this.sequence, first.payloadType, first.payload);
  }

  private send(type: string, sequence: number, payloadType: number, payload: Uint8Array): Promise<void> {
    const id = crypto.getRandomValues(new Uint8Array(16));
    const made = encoded({ type, id, sequence, flags: type === "acknowledge" ? 3 : sequence === 0 ? 1 : 0, payloadType, payload }, Date.now());
    this.order = this.order.then(async () => {
      const bytes = await made;
      if (this.socket.readyState === WebSocket.OPEN) this.socket.send(bytes);
    });
    return this.order;
  }

  private end(words: string): void {
    clearInterval(this.timer);
    this.onEnd(words);
  }
}
