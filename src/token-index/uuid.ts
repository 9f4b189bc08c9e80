/** Length of a UUID's text in characters. */
export const UUID_LENGTH = 36;

const HYPHEN = 0x2d;

/**
 * Read from the prototype once: some libraries (ioredis is one) leave String.prototype in a state in which V8 repeats the method
 * look-up at every call, which takes longer than the rest of `packUuid`.
 */
const { charCodeAt } = String.prototype;

/** The value of a hexadecimal digit by its UTF-16 code unit; -1 for every other code unit. */
const DIGITS = new Int8Array(2 ** 16).fill(-1);
for (const [value, digit] of [..."0123456789abcdef"].entries()) DIGITS[digit.charCodeAt(0)] = value;

/**
 * Writes the 16 bytes of a UUID to the start of `bytes`, in the order of its text. Returns false, and writes nothing, unless `text`
 * (36 characters) is canonical: lower-case hexadecimal with hyphens in their places.
 */
export function packUuid(text: string, bytes: DataView): boolean {
  if (charCodeAt.call(text, 8) !== HYPHEN || charCodeAt.call(text, 13) !== HYPHEN) return false;
  if (charCodeAt.call(text, 18) !== HYPHEN || charCodeAt.call(text, 23) !== HYPHEN) return false;
  const half0 = halfAt(text, 0);
  const half1 = halfAt(text, 4);
  const half2 = halfAt(text, 9);
  const half3 = halfAt(text, 14);
  const half4 = halfAt(text, 19);
  const half5 = halfAt(text, 24);
  const half6 = halfAt(text, 28);
  const half7 = halfAt(text, 32);
  // A negative half, which marks a character that is not a hexadecimal digit, makes the result negative.
  if ((half0 | half1 | half2 | half3 | half4 | half5 | half6 | half7) < 0) return false;
  bytes.setInt32(0, (half0 << 16) | half1);
  bytes.setInt32(4, (half2 << 16) | half3);
  bytes.setInt32(8, (half4 << 16) | half5);
  bytes.setInt32(12, (half6 << 16) | half7);
  return true;
}

/** The value of four digits; negative if one is not a hexadecimal digit. */
function halfAt(text: string, at: number): number {
  return (
    ((DIGITS[charCodeAt.call(text, at)] as number) << 12) |
    ((DIGITS[charCodeAt.call(text, at + 1)] as number) << 8) |
    ((DIGITS[charCodeAt.call(text, at + 2)] as number) << 4) |
    (DIGITS[charCodeAt.call(text, at + 3)] as number)
  );
}
