import { deflateSync, gzipSync } from "node:zlib";
import { framed, Http2Connection } from "../support/http2-call.ts";

interface Extent {
  readonly count: number;
  readonly encoding: "gzip" | "deflate" | "identity";
  readonly headers?: Readonly<Record<string, string>>;
}

/** Calls `path` with `message`, compressed with `encoding`, `count` times at once on one connection. Resolves with the number of responses. */
export async function compressedBodies(
  address: string,
  { path, message }: { path: string; message: Uint8Array },
  { count, encoding, headers = {} }: Extent,
): Promise<number> {
  const compressed = encoding !== "identity";
  const body = framed(compressed ? PACK[encoding](message) : message, { compressed });
  const http2 = await Http2Connection.open(address);
  try {
    const answers = await Promise.all(
      Array.from({ length: count }, () => http2.send(path, body, { "grpc-encoding": encoding, ...headers })),
    );
    return answers.filter(({ code }) => code !== undefined).length;
  } finally {
    await http2.close();
  }
}

const PACK = { gzip: gzipSync, deflate: deflateSync };

/** A Blacklist of as many empty tokens as fit into `bytes`. */
export function emptyTokens(bytes: number): Buffer {
  return Buffer.alloc(bytes, Buffer.from([0x0a, 0x00]));
}

/** A message of `StreamChecks` whose question occurs again and again. Decoders merge them into one, with all of their jtis. */
export function repeatedQuestions(bytes: number): Buffer {
  const question = inField(2, emptyTokens(2000));
  return Buffer.alloc(bytes - (bytes % question.length), question);
}

/**
 * A CheckRequest whose metadata has a list with as many empty values as fit into `bytes`: attributes.metadata_context.filter_metadata of one name, a
 * Struct of one field, a ListValue.
 */
export function longStruct(bytes: number): Buffer {
  const name = inField(1, Buffer.from("a"));
  const listValue = inField(6, emptyTokens(bytes));
  const struct = inField(1, name, inField(2, listValue));
  const entry = inField(1, name, inField(2, struct));
  return inField(1, inField(11, entry));
}

/** An encoded field with this content. */
function inField(number: number, ...parts: Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  return Buffer.concat([varint((number << 3) | 2), varint(content.length), content]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest >>>= 7) bytes.push((rest & 127) | 128);
  return Buffer.from([...bytes, rest]);
}
