/** An unsigned token with these claims and a placeholder for the signature. */
export function unsignedJwt(claims: unknown, { signature = "c2lnbmF0dXJl", typ = "JWT" } = {}): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "ES256", typ })}.${part(claims)}.${signature}`;
}

/** The `authorization` header with an unsigned token that has this jti. */
export function unsignedBearer(jti: unknown): string {
  return `Bearer ${unsignedJwt({ sub: "alice", jti })}`;
}
