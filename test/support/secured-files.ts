import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { JWTPayload } from "jose";
import { ROLES } from "../../src/caller.ts";
import { AUDIENCE, ISSUER } from "./callers.ts";
import { type Authority, createAuthority } from "./certificates.ts";
import { createSigningKey, keySetOf, type SigningKey, signToken } from "./issuer.ts";
import { freshFolder } from "./shared.ts";

export interface SignOptions {
  /** Default: the key in the key set. */
  readonly signer?: SigningKey;
  readonly header?: Parameters<typeof signToken>[2];
}

/**
 * The files of a service that authenticates its callers by token and by certificate, in a new folder: `keys.json`, `ca.pem`, and with a
 * certificate for `localhost`, `cert.pem` and `key.pem`.
 */
export class SecuredFiles {
  /** Signed the service's certificate, and signs those of callers. */
  readonly authority: Authority;
  /** The only key of the key set. */
  readonly key: SigningKey;
  /** The settings that name the files. The roles of certificates are missing. */
  readonly env: Readonly<Record<string, string>>;
  readonly #folder: string;

  private constructor(folder: string, authority: Authority, key: SigningKey) {
    this.#folder = folder;
    this.authority = authority;
    this.key = key;
    this.env = {
      AUTH_JWKS_FILE: this.file("keys.json"),
      AUTH_ISSUER: ISSUER,
      AUTH_AUDIENCE: AUDIENCE,
      TLS_CERT_FILE: this.file("cert.pem"),
      TLS_KEY_FILE: this.file("key.pem"),
      TLS_CLIENT_CA_FILE: this.file("ca.pem"),
    };
  }

  static async create(): Promise<SecuredFiles> {
    const authority = await createAuthority();
    const files = new SecuredFiles(await freshFolder(), authority, await createSigningKey("k1"));
    const server = await authority.issue([{ type: "dns", value: "localhost" }]);
    await files.write("keys.json", keySetOf(files.key));
    await files.write("ca.pem", authority.certificate);
    await files.write("cert.pem", server.certificate);
    await files.write("key.pem", server.key);
    return files;
  }

  /** The path of a file in the folder. */
  file(name: string): string {
    return join(this.#folder, name);
  }

  /** Writes or replaces a file, atomically, since the service may be reading it. */
  async write(name: string, text: string): Promise<void> {
    await writeFile(this.file(`${name}.new`), text);
    await rename(this.file(`${name}.new`), this.file(name));
  }

  /** A caller's token with all roles for ten minutes, unless `claims` differ. */
  token(claims: JWTPayload = {}, { signer = this.key, header = {} }: SignOptions = {}): Promise<string> {
    const exp = Math.floor(Date.now() / 1000) + 600;
    const usual = { iss: ISSUER, aud: AUDIENCE, sub: "somebody", exp, scope: ROLES.join(" ") };
    return signToken(signer, { ...usual, ...claims }, header);
  }
}
