/** Characters of a UUID's text. */
export const UUID_LENGTH = 36;

const HYPHEN = 0x2d;

/**
 * Replaces the text of a UUID (36 bytes, at the start of `text`) by its 16 bytes, in an order of our own. False, and
 * nothing replaced, unless it is the canonical text: lower-case hexadecimal with hyphens in their places.
 */
export function packUuid(text: DataView): boolean {
  if (text.getUint8(8) !== HYPHEN || text.getUint8(13) !== HYPHEN) return false;
  if (text.getUint8(18) !== HYPHEN || text.getUint8(23) !== HYPHEN) return false;
  const digits0 = digitsOf(text.getInt32(0, true));
  const digits1 = digitsOf(text.getInt32(4, true));
  const digits2 = digitsOf(text.getInt32(9, true));
  const digits3 = digitsOf(text.getInt32(14, true));
  const digits4 = digitsOf(text.getInt32(19, true));
  const digits5 = digitsOf(text.getInt32(24, true));
  const digits6 = digitsOf(text.getInt32(28, true));
  const digits7 = digitsOf(text.getInt32(32, true));
  // One that is not hexadecimal is negative, and makes all of them so.
  if ((digits0 | digits1 | digits2 | digits3 | digits4 | digits5 | digits6 | digits7) < 0) return false;
  text.setInt32(0, digits0 | (digits1 << 4), true);
  text.setInt32(4, digits2 | (digits3 << 4), true);
  text.setInt32(8, digits4 | (digits5 << 4), true);
  text.setInt32(12, digits6 | (digits7 << 4), true);
  return true;
}

/** The values of four hexadecimal digits, one a byte, all at once; -1 when not all are such digits. */
function digitsOf(text: number): number {
  const letters = (text >>> 6) & 0x01010101;
  const values = (text & 0x0f0f0f0f) + letters * 9;
  // Only a text that comes out again was read right. Those above 15 (g to o) do too.
  const aboveNine = ((values + 0x06060606) >>> 4) & 0x01010101;
  const again = (values + 0x30303030 + aboveNine * 39) | 0;
  return again === text && (values & 0x10101010) === 0 ? values : -1;
}
