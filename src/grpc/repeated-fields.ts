import type { ServiceDefinition } from "@grpc/grpc-js";
import {
  BlacklistRequestSchema,
  IsBlacklistedRequestSchema,
  ListRequestSchema,
  StreamChecksRequestSchema,
  TokenBlacklist,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { MAX_BATCH } from "../limits.ts";

/** A field that may be repeated: by its number, and where it stands in a message within the message, by the number of that, too. */
export interface RepeatedField {
  readonly within?: number;
  readonly number: number;
}

/** So many times the elements that may be are looked at: what stands behind more of them is of no interest to anybody. */
const LOOKED_AT = 8;
/** By method, the field of a request that holds at most {@link MAX_BATCH} tokens: one may take two bytes on the wire, and a hundred in memory. */
const BATCHES: Readonly<Record<string, RepeatedField>> = {
  [TokenBlacklist.method.blacklist.localName]: { number: BlacklistRequestSchema.field.tokens.number },
  [TokenBlacklist.method.isBlacklisted.localName]: { number: IsBlacklistedRequestSchema.field.jtis.number },
  [TokenBlacklist.method.list.localName]: { number: ListRequestSchema.field.jtis.number },
  [TokenBlacklist.method.streamChecks.localName]: {
    within: StreamChecksRequestSchema.field.question.number,
    number: IsBlacklistedRequestSchema.field.jtis.number,
  },
};

/** The same service, of whose requests nothing is decoded past the first token that is one too many. */
export function withBoundedBatches(service: ServiceDefinition): ServiceDefinition {
  return Object.fromEntries(
    Object.entries(service).map(([name, method]) => {
      const batch = BATCHES[name];
      if (batch === undefined) return [name, method];
      const requestDeserialize = (bytes: Buffer): unknown =>
        method.requestDeserialize(withoutExcess(bytes, batch, MAX_BATCH));
      return [name, { ...method, requestDeserialize }];
    }),
  );
}

/** How many other fields are kept behind the one that is one too many. No request has so many. */
const MOST_OTHERS = 16;

/**
 * An encoded message without the elements of `field` past the first that is one too many: what is decoded still says that there are too many, and
 * nothing is built for those that follow. The message as it is where there are no more than `most`, or where it cannot be read: the decoder
 * says why.
 */
export function withoutExcess(bytes: Buffer, { within, number }: RepeatedField, most: number): Buffer {
  // An element takes two bytes at least.
  if (bytes.length <= most * 2) return bytes;
  if (within === undefined) return cut({ bytes, start: 0, end: bytes.length }, number, most) ?? bytes;
  for (const field of fieldsOf({ bytes, start: 0, end: bytes.length })) {
    if (field.number !== within || field.start < 0) continue;
    const content = cut({ bytes, start: field.start, end: field.end }, number, most);
    if (content === undefined) continue;
    const head = Buffer.from([...varint(field.number * 8 + 2), ...varint(content.length)]);
    return Buffer.concat([bytes.subarray(0, field.tag), head, content]);
  }
  return bytes;
}

interface Part {
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
}

/** What is left of a message; undefined where nothing is cut. */
function cut(part: Part, number: number, most: number): Buffer | undefined {
  const { bytes, start } = part;
  const kept: Buffer[] = [];
  let count = 0;
  for (const field of fieldsOf(part)) {
    if (count > most * LOOKED_AT) break;
    if (field.number === number) {
      if (++count === most + 1) kept.push(bytes.subarray(start, field.end));
    } else if (count > most && kept.length <= MOST_OTHERS) kept.push(bytes.subarray(field.tag, field.end));
  }
  return kept.length === 0 ? undefined : Buffer.concat(kept);
}

interface Field {
  readonly number: number;
  /** Where its tag begins. */
  readonly tag: number;
  /** Where the content of a length-delimited field begins; -1 for others. */
  readonly start: number;
  readonly end: number;
}

/** The fields of an encoded message, in their order; up to where it cannot be read. */
function* fieldsOf({ bytes, start, end }: Part): Generator<Field> {
  let at = start;
  while (at < end) {
    const tag = at;
    const key = varintAt(bytes, at, end);
    if (key === undefined) return;
    at = key.end;
    const number = Math.floor(key.value / 8);
    switch (key.value % 8) {
      case 0: {
        const value = varintAt(bytes, at, end);
        if (value === undefined) return;
        at = value.end;
        yield { number, tag, start: -1, end: at };
        break;
      }
      case 1:
        at += 8;
        yield { number, tag, start: -1, end: at };
        break;
      case 2: {
        const length = varintAt(bytes, at, end);
        if (length === undefined || length.end + length.value > end) return;
        at = length.end + length.value;
        yield { number, tag, start: length.end, end: at };
        break;
      }
      case 5:
        at += 4;
        yield { number, tag, start: -1, end: at };
        break;
      default:
        // Groups, which nothing here has.
        return;
    }
  }
}

function varintAt(bytes: Buffer, from: number, end: number): { value: number; end: number } | undefined {
  let value = 0;
  let scale = 1;
  for (let at = from; at < end && at < from + 10; at++) {
    const byte = bytes[at] as number;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return { value, end: at + 1 };
    scale *= 128;
  }
  return undefined;
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  return [...bytes, rest];
}
