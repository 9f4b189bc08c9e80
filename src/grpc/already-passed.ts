/** Beginning of the violation for an expiry in the past. The import command recognizes by it the entries that it may skip. */
export const ALREADY_PASSED = "must not have passed already";
