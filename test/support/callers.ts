import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { credentials } from "@grpc/grpc-js";
import type { Authority, CertificateAndKey } from "./certificates.ts";
import { createSigningKey, keySetOf, type SigningKey, signToken } from "./issuer.ts";
import { RawChannel } from "./raw-channel.ts";
import { freshFolder } from "./shared.ts";

export const ISSUER = "https://id.test";
export const AUDIENCE = "token-blacklist";

/** Callers that authenticate by bearer token. */
export class TokenCallers {
  readonly #key: SigningKey;
  /** The settings with which a service accepts their tokens. */
  readonly env: Readonly<Record<string, string>>;

  private constructor(key: SigningKey, keys: string) {
    this.#key = key;
    this.env = { AUTH_JWKS_FILE: keys, AUTH_ISSUER: ISSUER, AUTH_AUDIENCE: AUDIENCE };
  }

  static async create(): Promise<TokenCallers> {
    const key = await createSigningKey("k1");
    const keys = join(await freshFolder(), "keys.json");
    await writeFile(keys, keySetOf(key));
    return new TokenCallers(key, keys);
  }

  /** The `authorization` metadata of a caller: a gateway with the role check for ten minutes, unless `claims` differ. */
  async bearer(claims: object = {}): Promise<string[]> {
    const gateway = { iss: ISSUER, aud: AUDIENCE, sub: "gateway", scope: "check" };
    const exp = Math.floor(Date.now() / 1000) + 600;
    return [`Bearer ${await signToken(this.#key, { ...gateway, exp, ...claims })}`];
  }
}

/** Connects to a service at `address` whose certificate for `localhost` is by `authority`, with the client certificate `own` if given. */
export function connectOverTls(
  address: string,
  { certificate }: Pick<Authority, "certificate">,
  own?: CertificateAndKey,
): RawChannel {
  const secure = credentials.createSsl(
    Buffer.from(certificate),
    own ? Buffer.from(own.key) : null,
    own ? Buffer.from(own.certificate) : null,
  );
  return new RawChannel(address.replace("127.0.0.1", "localhost"), {}, secure);
}
