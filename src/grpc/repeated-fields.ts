import type { DescMessage } from "@bufbuild/protobuf";
import { MALFORMED } from "../protobuf/service-definition.ts";

/** A repeated field by number and, if it is part of a nested message, the number of the field that holds the message. */
export interface RepeatedField {
  readonly within?: number;
  readonly number: number;
}

/** Scanning stops after this multiple of the allowed number of elements, and drops the rest of the message. */
const SCANNED_MULTIPLE = 8;

/** Decodes a request. */
export type Decode = (bytes: Buffer) => object;

/** Decodes messages only up to the first element of `field` above `most`. An element may take two bytes on the wire and a hundred in memory. */
export function withAtMost(most: number, { number, within }: RepeatedField): (decode: Decode) => Decode {
  const field = within === undefined ? { number } : { number, within };
  return (decode) => (bytes) => decode(withoutExcess(bytes, field, most));
}

/** Decodes only messages with at most `most` fields; others are malformed. */
export function withFewFields(most: number, desc: DescMessage): (decode: Decode) => Decode {
  return (decode) => (bytes) =>
    hasMoreFields(desc, bytes, most) ? (MALFORMED as unknown as object) : decode(bytes);
}

/** Maximum number of other fields kept after the first element above the limit. No request has as many. */
const MAX_OTHERS = 16;

/**
 * Removes the elements of `field` after the first one above `most` from an encoded message. The decoded message still shows that there are
 * too many, and the others are never built. Returns the message unchanged if it has no more than `most` elements, or if it cannot be
 * parsed, so that the decoder reports why.
 */
export function withoutExcess(bytes: Buffer, { within, number }: RepeatedField, most: number): Buffer {
  // An element takes at least two bytes.
  if (bytes.length <= most * 2) return bytes;
  if (within === undefined) return shortened({ bytes, start: 0, end: bytes.length }, number, most) ?? bytes;
  for (const field of fieldsOf({ bytes, start: 0, end: bytes.length })) {
    if (field.number !== within || field.start < 0) continue;
    const content = shortened({ bytes, start: field.start, end: field.end }, number, most);
    if (content === undefined) continue;
    const head = Buffer.from([...varint(field.number * 8 + 2), ...varint(content.length)]);
    return Buffer.concat([bytes.subarray(0, field.tag), head, content]);
  }
  return bytes;
}

/**
 * Whether an encoded message of this type has more than `most` fields, those of nested messages and elements of lists and maps included. Building
 * each takes a microsecond and a hundred bytes, while it may take two bytes on the wire.
 */
export function hasMoreFields(desc: DescMessage, bytes: Buffer, most: number): boolean {
  // A field takes at least two bytes.
  return (
    bytes.length > 2 * most &&
    countFields({ bytes, start: 0, end: bytes.length }, nestedIn(desc), most) > most
  );
}

function countFields(part: Part, nested: Nested, most: number, depth = 0): number {
  let count = 0;
  for (const field of fieldsOf(part)) {
    count++;
    const inner = field.start < 0 ? undefined : nested(field.number);
    if (inner !== undefined && depth < MAX_DEPTH) {
      const { start, end } = field;
      count += countFields({ bytes: part.bytes, start, end }, inner, most - count, depth + 1);
    }
    if (count > most) break;
  }
  return count;
}

/** The decoder refuses messages nested deeper. */
const MAX_DEPTH = 100;

/** The message types of the fields of a message, by number. */
type Nested = (number: number) => Nested | undefined;

function nestedIn(desc: DescMessage): Nested {
  return (number) => {
    const field = desc.fields.find((one) => one.number === number);
    if (field?.fieldKind === "map") {
      const { message } = field;
      return (part) => (part === MAP_VALUE && message !== undefined ? nestedIn(message) : undefined);
    }
    return field?.message === undefined ? undefined : nestedIn(field.message);
  };
}

/** Field number of the value in an entry of a map. */
const MAP_VALUE = 2;

interface Part {
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
}

/** The shortened message; undefined if nothing is removed. */
function shortened(part: Part, number: number, most: number): Buffer | undefined {
  const { bytes, start } = part;
  const kept: Buffer[] = [];
  let count = 0;
  for (const field of fieldsOf(part)) {
    if (count > most * SCANNED_MULTIPLE) break;
    if (field.number === number) {
      if (++count === most + 1) kept.push(bytes.subarray(start, field.end));
    } else if (count > most && kept.length <= MAX_OTHERS) kept.push(bytes.subarray(field.tag, field.end));
  }
  return kept.length === 0 ? undefined : Buffer.concat(kept);
}

interface Field {
  readonly number: number;
  /** Offset of its tag. */
  readonly tag: number;
  /** Offset of the content of a length-delimited field; -1 for others. */
  readonly start: number;
  readonly end: number;
}

/** The fields of an encoded message in order, up to the first byte that cannot be parsed. */
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
        // Groups, which no message here has.
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
