/** A token with these claims, which nobody has signed: its signature is only there. */
export function shownJwt(claims: unknown, { signature = "c2lnbmF0dXJl", typ = "JWT" } = {}): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "ES256", typ })}.${part(claims)}.${signature}`;
}
