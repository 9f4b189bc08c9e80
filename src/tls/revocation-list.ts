import { constants, type KeyObject, verify, type X509Certificate } from "node:crypto";
import type { EpochMs } from "../entry.ts";

/** A certificate revocation list of one authority (RFC 5280, section 5). */
export interface RevocationList {
  readonly pem: string;
  /** When the list was issued. */
  readonly thisUpdate: EpochMs;
  /** When the list expires. */
  readonly nextUpdate: EpochMs;
  /** Whether the list revokes the certificate, which must be issued by the list's authority. */
  revokes(certificate: X509Certificate): boolean;
  isSignedBy(key: KeyObject): boolean;
}

const LIST = /-----BEGIN X509 CRL-----([\s\S]*?)-----END X509 CRL-----/g;

/**
 * The lists in `pem`, at least one. They are parsed for open connections; OpenSSL applies them to new connections. Throws a RangeError that
 * begins with `setting` if a list is unreadable, is a delta or an indirect list, or has no time of the next update.
 */
export function revocationListsOf(pem: string, setting: string): RevocationList[] {
  const found = [...pem.matchAll(LIST)];
  if (found.length === 0 || found.length !== pem.split("-----BEGIN").length - 1) {
    throw new RangeError(
      `${setting} must name a file that contains only revocation lists in PEM ("-----BEGIN X509 CRL-----")`,
    );
  }
  return found.map(([text, base64 = ""], index) => {
    try {
      return listOf(Buffer.from(base64, "base64"), text);
    } catch (error) {
      const why = error instanceof RangeError ? error.message : "it is damaged";
      throw new RangeError(
        `${setting} names a file whose revocation list number ${index + 1} cannot be used: ${why}`,
      );
    }
  });
}

function listOf(der: Buffer, pem: string): RevocationList {
  const file = new Reader(der);
  const parts = file.next(SEQUENCE);
  file.end();
  const signed = parts.next(SEQUENCE);
  const algorithm = parts.next(SEQUENCE);
  const signature = parts.next(BIT_STRING).rest();
  parts.end();

  // The version.
  signed.optional(INTEGER);
  const isSameAlgorithm = signed.next(SEQUENCE).encoded.equals(algorithm.encoded);
  // The first byte is the number of unused bits in the last byte. It must be 0.
  if (!isSameAlgorithm || signature[0] !== 0) throw new RangeError("it is damaged");
  // The issuer's name is ignored: the list belongs to the authority whose key verifies the list.
  signed.next(SEQUENCE);
  const thisUpdate = timeOf(signed);
  if (!signed.isAt(UTC_TIME) && !signed.isAt(GENERALIZED_TIME)) {
    throw new RangeError("it has no time of the next update");
  }
  const nextUpdate = timeOf(signed);
  const serials = serialsOf(signed.optional(SEQUENCE));
  checkExtensions(signed.optional(EXTENSIONS)?.next(SEQUENCE));
  signed.end();

  const oid = algorithm.next(OBJECT_ID).text("hex");
  const parameters = algorithm.rest();
  return {
    pem,
    thisUpdate,
    nextUpdate,
    revokes: ({ serialNumber }) => serials.has(plainSerial(serialNumber)),
    isSignedBy: (key) => isSigned(signed.encoded, { oid, parameters, signature: signature.subarray(1), key }),
  };
}

function serialsOf(entries: Reader | undefined): ReadonlySet<string> {
  const serials = new Set<string>();
  while (entries !== undefined && !entries.isOver) {
    const entry = entries.next(SEQUENCE);
    serials.add(plainSerial(entry.next(INTEGER).text("hex")));
    // The time of the revocation.
    entry.any();
    for (const { isCritical } of extensionsOf(entry.optional(SEQUENCE))) {
      if (isCritical) throw new RangeError("an entry has a critical extension that is not understood");
    }
  }
  return serials;
}

/** The object identifier of an extension, in hexadecimal. */
const ISSUING_DISTRIBUTION_POINT = "551d1c";
/** The tag of a member of that extension, which allows the list to name certificates of other authorities. */
const INDIRECT = 0x84;

/** Throws if the list is indirect, or has a critical extension that this parser does not understand, as a delta list has. */
function checkExtensions(extensions: Reader | undefined): void {
  for (const { oid, isCritical, value } of extensionsOf(extensions)) {
    if (oid === ISSUING_DISTRIBUTION_POINT) {
      const point = new Reader(value).next(SEQUENCE);
      while (!point.isOver) {
        if (point.any().tag === INDIRECT) throw new RangeError("it is an indirect list");
      }
    } else if (isCritical) {
      throw new RangeError("it has a critical extension that is not understood, as delta lists have");
    }
  }
}

function* extensionsOf(extensions: Reader | undefined) {
  while (extensions !== undefined && !extensions.isOver) {
    const extension = extensions.next(SEQUENCE);
    const oid = extension.next(OBJECT_ID).text("hex");
    const isCritical = (extension.optional(BOOLEAN)?.rest()[0] ?? 0) !== 0;
    yield { oid, isCritical, value: extension.next(OCTET_STRING).rest() };
  }
}

/** Normalizes case and leading zeros. */
function plainSerial(hex: string): string {
  return hex.toLowerCase().replace(/^0+/, "");
}

function timeOf(reader: Reader): EpochMs {
  const isShort = reader.isAt(UTC_TIME);
  const text = reader.next(isShort ? UTC_TIME : GENERALIZED_TIME).text("latin1");
  const [, year = "", rest = ""] = (isShort ? /^(\d\d)(\d{10})Z$/ : /^(\d{4})(\d{10})Z$/).exec(text) ?? [];
  const [month, day, hour, minute, second] = rest.match(/\d\d/g) ?? [];
  // A year of two digits (RFC 5280, section 4.1.2.5.1).
  const century = isShort ? (Number(year) < 50 ? "20" : "19") : "";
  const ms = Date.parse(`${century}${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  if (Number.isNaN(ms)) throw new RangeError("it has an invalid time");
  return ms as EpochMs;
}

/** Hash algorithms by the object identifier of the signature, in hexadecimal (RFC 4055, 5758, 8410). Null for Ed25519 and Ed448. */
const SIGNATURES: Readonly<Record<string, string | null>> = {
  "2a864886f70d01010b": "sha256",
  "2a864886f70d01010c": "sha384",
  "2a864886f70d01010d": "sha512",
  "2a8648ce3d040302": "sha256",
  "2a8648ce3d040303": "sha384",
  "2a8648ce3d040304": "sha512",
  "2b6570": null,
  "2b6571": null,
};
const RSA_PSS = "2a864886f70d01010a";
/** Hash algorithms by the object identifier in the parameters of RSASSA-PSS. */
const PSS_HASHES = {
  "608648016503040201": "sha256",
  "608648016503040202": "sha384",
  "608648016503040203": "sha512",
};

function isSigned(
  bytes: Buffer,
  { oid, parameters, signature, key }: { oid: string; parameters: Buffer; signature: Buffer; key: KeyObject },
): boolean {
  try {
    if (oid === RSA_PSS) {
      const text = parameters.toString("hex");
      const hash = Object.entries(PSS_HASHES).find(([id]) => text.includes(id))?.[1];
      const padding = constants.RSA_PKCS1_PSS_PADDING;
      const saltLength = constants.RSA_PSS_SALTLEN_AUTO;
      return hash !== undefined && verify(hash, bytes, { key, padding, saltLength }, signature);
    }
    const hash = SIGNATURES[oid];
    return hash !== undefined && verify(hash, bytes, key, signature);
  } catch {
    // The type of the key does not fit the signature.
    return false;
  }
}

const BOOLEAN = 0x01;
const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;
const OBJECT_ID = 0x06;
const UTC_TIME = 0x17;
const GENERALIZED_TIME = 0x18;
const SEQUENCE = 0x30;
const EXTENSIONS = 0xa0;

/**
 * Reads the DER values in the content of another value, the outer value, one after the other. Does not copy them, since a list may have a hundred
 * thousand entries. General-purpose libraries reject lists of some thousands, or take seconds for them.
 */
class Reader {
  readonly #bytes: Buffer;
  /** The offset of the outer value's tag. */
  readonly #start: number;
  /** The offset after the outer value. */
  readonly #end: number;
  /** The offset of the next value. */
  #at: number;

  constructor(bytes: Buffer, { start = 0, from = 0, end = bytes.length } = {}) {
    this.#bytes = bytes;
    this.#start = start;
    this.#at = from;
    this.#end = end;
  }

  /** The tag of the outer value. */
  get tag(): number {
    return this.#bytes[this.#start] ?? 0;
  }

  /** The bytes of the outer value, including its tag and length. */
  get encoded(): Buffer {
    return this.#bytes.subarray(this.#start, this.#end);
  }

  get isOver(): boolean {
    return this.#at >= this.#end;
  }

  /** Whether the next value has this tag. */
  isAt(tag: number): boolean {
    return !this.isOver && this.#bytes[this.#at] === tag;
  }

  /** Reads the next value, which must have this tag, and returns a reader of its content. */
  next(tag: number): Reader {
    if (!this.isAt(tag)) throw new RangeError("it is damaged");
    return this.any();
  }

  /** Like {@link next}; undefined, without reading, if the next value has another tag. */
  optional(tag: number): Reader | undefined {
    return this.isAt(tag) ? this.any() : undefined;
  }

  /** Like {@link next}, with any tag. */
  any(): Reader {
    const start = this.#at++;
    let length = this.#byte();
    if (length >= 0x80) {
      const bytes = length - 0x80;
      if (bytes === 0 || bytes > 4) throw new RangeError("it is damaged");
      length = 0;
      for (let index = 0; index < bytes; index++) length = length * 256 + this.#byte();
    }
    const from = this.#at;
    this.#at += length;
    if (this.#at > this.#end) throw new RangeError("it is truncated");
    return new Reader(this.#bytes, { start, from, end: this.#at });
  }

  /** The bytes that have not been read. */
  rest(): Buffer {
    return this.#bytes.subarray(this.#at, this.#end);
  }

  /** The bytes that have not been read, as text. */
  text(encoding: "hex" | "latin1"): string {
    return this.#bytes.toString(encoding, this.#at, this.#end);
  }

  /** Throws if not all values have been read. */
  end(): void {
    if (!this.isOver) throw new RangeError("it is followed by other data");
  }

  #byte(): number {
    if (this.isOver) throw new RangeError("it is truncated");
    return this.#bytes[this.#at++] as number;
  }
}
