import type { CertificateAndKey } from "../support/certificates.ts";
import { RawCalls } from "../support/raw-calls.ts";
import type { Fields } from "../support/raw-http2.ts";

/** Values of `authorization` that some layer drops, or of which it keeps one: a call must not count as its connection's certificate. */
const DAMAGES: readonly ((token: string) => Fields)[] = [
  (token) => [["authorization", `Bearer ${token}\t`]],
  (token) => [["authorization", `Bearer ${token}\u0000`]],
  (token) => [["authorization", ` Bearer ${token}`]],
  (token) => [["authorization", `Bearer ${token}\u00a0`]],
  (token) => [
    ["authorization", `Bearer ${token}`],
    ["authorization", "Bearer e30.e30.e30"],
  ],
  (token) => [["authorization-bin", `Bearer ${token}`]],
];

interface Credentials {
  readonly authority: string;
  /** A certificate that has every role by itself. */
  readonly operator: CertificateAndKey;
  readonly token: string;
}

/** Sends calls with each damaged value, over a connection with the operator's certificate. Resolves with their number; "let in" if one was answered. */
export async function damagedCredentials(
  address: string,
  { authority, operator, token }: Credentials,
  { path, message }: { path: string; message: Uint8Array },
): Promise<number | "let in"> {
  const calls = await RawCalls.open(address, { ca: authority, own: operator });
  try {
    const answers = await Promise.all(DAMAGES.map((damage) => calls.call(path, damage(token), message)));
    return answers.some(({ code }) => code === "OK") ? "let in" : answers.length;
  } finally {
    calls.close();
  }
}
