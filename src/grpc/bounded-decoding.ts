import type { DescMessage } from "@bufbuild/protobuf";
import { MALFORMED } from "../protobuf/service-definition.ts";

interface RepeatedField {
  /** If the repeated field is in a nested message: the number of the outer field that holds that message. */
  readonly within?: number;
  readonly number: number;
}

/** At most this many fields of any kind are scanned for each allowed element. */
const SCANNED_MULTIPLE = 16;

export type Decode = (bytes: Buffer) => object;

/**
 * Decodes messages after {@link withoutExcess} has removed the elements of `field` after element `max` + 1: an element may take two bytes on the
 * wire and a hundred in memory.
 */
export function withMaxElements(max: number, field: RepeatedField): (decode: Decode) => Decode {
  return (decode) => (bytes) => decode(withoutExcess(bytes, field, max));
}

/**
 * Decodes only messages with at most `max` fields, which include those of nested messages and the elements of lists and maps. A message with
 * more fields is malformed. A field may take two bytes on the wire, and takes a microsecond and a hundred bytes to decode.
 */
export function withMaxFields(max: number, desc: DescMessage): (decode: Decode) => Decode {
  const type = messageType(desc);
  return (decode) => (bytes) =>
    // A field takes at least two bytes.
    bytes.length > 2 * max && countFields({ bytes, start: 0, end: bytes.length }, type, max) > max
      ? (MALFORMED as unknown as object)
      : decode(bytes);
}

/** Maximum number of fields of other kinds that are kept after element `max` + 1. No request has so many. */
const MAX_OTHER_FIELDS = 16;

/**
 * Removes the elements of the field after element `max` + 1 from an encoded message, and all but a few of the other fields after that element.
 * If the elements are in a nested message, everything after the nested message is removed, too. The decoded message still shows that there are
 * too many elements, and the removed elements are never decoded. Returns the message unchanged if at most `max` elements are found before its
 * end, before an invalid field, and among the first SCANNED_MULTIPLE * `max` fields.
 */
export function withoutExcess(bytes: Buffer, { within, number }: RepeatedField, max: number): Buffer {
  // An element takes at least two bytes.
  if (bytes.length <= max * 2) return bytes;
  const scan = { number, max, elements: 0, fields: 0 };
  const message = { bytes, start: 0, end: bytes.length };
  if (within === undefined) return shortened(message, scan) ?? bytes;
  const field = new Fields(message);
  while (scan.fields++ < max * SCANNED_MULTIPLE && field.next()) {
    if (field.number !== within || field.start < 0) continue;
    const content = shortened({ bytes, start: field.start, end: field.end }, scan);
    if (content === undefined) continue;
    const head = Buffer.from([...varint(field.number * 8 + 2), ...varint(content.length)]);
    return Buffer.concat([bytes.subarray(0, field.tag), head, content]);
  }
  return bytes;
}

/** The number of fields in a message of this type, nested ones included; any number above `max` if there are more. */
function countFields(part: Part, type: MessageType, max: number, depth = 0): number {
  let count = 0;
  const field = new Fields(part);
  while (field.next() && count <= max) {
    count++;
    const { start, end, number } = field;
    if (start < 0 || start === end || depth === MAX_DEPTH) continue;
    const inner = type(number);
    if (inner === undefined) continue;
    count += countFields({ bytes: part.bytes, start, end }, inner, max - count, depth + 1);
  }
  return count;
}

/** The decoder refuses messages that are nested more deeply. */
const MAX_DEPTH = 100;

/** A message type: maps the number of a field to the type of its messages; undefined for a field without messages. */
type MessageType = (number: number) => MessageType | undefined;

/** Evaluated lazily, since types may contain themselves. */
function messageType(desc: DescMessage): MessageType {
  const known = new Map<number, MessageType | undefined>();
  return (number) => {
    if (!known.has(number)) known.set(number, typeOfField(desc, number));
    return known.get(number);
  };
}

function typeOfField(desc: DescMessage, number: number): MessageType | undefined {
  const field = desc.fields.find((candidate) => candidate.number === number);
  const nested = field?.message === undefined ? undefined : messageType(field.message);
  return field?.fieldKind === "map" ? (part) => (part === MAP_VALUE ? nested : undefined) : nested;
}

/** The number of the value's field in an entry of a map. */
const MAP_VALUE = 2;

interface Part {
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
}

/** The search for elements of the field `number`, in one message or in several that decoders merge into one. */
interface Scan {
  readonly number: number;
  readonly max: number;
  /** How many elements have been found. */
  elements: number;
  /** How many fields of any kind have been scanned. */
  fields: number;
}

/** The part without the elements after element `max` + 1; undefined if no more than `max` are found. */
function shortened(part: Part, scan: Scan): Buffer | undefined {
  const { bytes, start } = part;
  const { number, max } = scan;
  const kept: Buffer[] = [];
  const field = new Fields(part);
  while (scan.fields++ < max * SCANNED_MULTIPLE && field.next()) {
    if (field.number === number) {
      if (++scan.elements === max + 1) kept.push(bytes.subarray(start, field.end));
    } else if (scan.elements > max && kept.length <= MAX_OTHER_FIELDS) {
      kept.push(bytes.subarray(field.tag, field.end));
    }
  }
  return kept.length === 0 ? undefined : Buffer.concat(kept);
}

/**
 * Steps through the fields of an encoded message in order, up to the first invalid field. The public properties describe the current field, so
 * that no object has to be allocated for each field.
 */
class Fields {
  readonly #bytes: Buffer;
  /** The offset after the message. */
  readonly #last: number;
  /** The value of the varint that was read last. */
  #value = 0;
  number = 0;
  /** The offset of the field's tag. */
  tag = 0;
  /** The offset of the field's content if the field is length-delimited; otherwise -1. */
  start = -1;
  /** The offset after the field. */
  end: number;

  constructor({ bytes, start, end }: Part) {
    this.#bytes = bytes;
    this.#last = end;
    this.end = start;
  }

  /** Moves to the next field. False at the end of the message, or if the next field is invalid. */
  next(): boolean {
    this.tag = this.end;
    const content = this.#varint(this.tag);
    if (content < 0) return false;
    this.number = Math.floor(this.#value / 8);
    this.start = -1;
    this.end = this.#endOf(this.#value % 8, content);
    return this.end > 0;
  }

  /** The offset after the field's content, which begins at `at`; -1 if it cannot be parsed. */
  #endOf(wireType: number, at: number): number {
    switch (wireType) {
      case 0:
        return this.#varint(at);
      case 1:
        return this.#within(at + 8);
      case 2: {
        this.start = this.#varint(at);
        return this.start < 0 ? -1 : this.#within(this.start + this.#value);
      }
      case 5:
        return this.#within(at + 4);
      default:
        // A group: no message of this service has groups.
        return -1;
    }
  }

  #within(end: number): number {
    return end > this.#last ? -1 : end;
  }

  /** Reads the varint at the offset `from`. Returns the offset after the varint; -1 if it is invalid. */
  #varint(from: number): number {
    let scale = 1;
    this.#value = 0;
    for (let at = from; at < this.#last && at < from + 10; at++) {
      const byte = this.#bytes[at] as number;
      this.#value += (byte & 0x7f) * scale;
      if (byte < 0x80) return at + 1;
      scale *= 128;
    }
    return -1;
  }
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  return [...bytes, rest];
}
