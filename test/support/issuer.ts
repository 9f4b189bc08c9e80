import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK, generateKeyPair, type JWK, type JWTPayload, SignJWT } from "jose";

/** One of an issuer's keys. */
export interface SigningKey {
  readonly kid: string;
  readonly alg: string;
  readonly privateKey: Awaited<ReturnType<typeof generateKeyPair>>["privateKey"];
  readonly publicJwk: JWK;
}

export async function createSigningKey(kid: string, alg = "ES256"): Promise<SigningKey> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  return { kid, alg, privateKey, publicJwk: { ...(await exportJWK(publicKey)), kid, alg, use: "sig" } };
}

/** The JSON of a key set with these keys. */
export function keySetOf(...keys: readonly SigningKey[]): string {
  return JSON.stringify({ keys: keys.map(({ publicJwk }) => publicJwk) });
}

/** A token with exactly these claims. */
export function signToken(
  key: SigningKey,
  claims: JWTPayload,
  header: { crit?: string[]; [name: string]: unknown } = {},
): Promise<string> {
  const crit = Object.fromEntries((header.crit ?? []).map((name) => [name, true]));
  return new SignJWT(claims)
    .setProtectedHeader({ alg: key.alg, kid: key.kid, ...header })
    .sign(key.privateKey, { crit });
}

/** An HTTP server with an issuer's key set. */
export class KeyServer {
  readonly #server: Server;
  /** The number of requests. */
  requests = 0;
  /** The response. */
  body = '{"keys":[]}';
  status = 200;
  #held: (() => void)[] | undefined;

  private constructor() {
    this.#server = createServer((_, response) => {
      this.requests++;
      const answer = () =>
        response.writeHead(this.status, { "content-type": "application/json" }).end(this.body);
      if (this.#held === undefined) answer();
      else this.#held.push(answer);
    });
  }

  /** Holds requests until {@link release}. */
  hold(): void {
    this.#held ??= [];
  }

  /** Answers held and further requests. */
  release({ status = this.status } = {}): void {
    this.status = status;
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const answer of held) answer();
  }

  static async start(...keys: readonly SigningKey[]): Promise<KeyServer> {
    const server = new KeyServer();
    server.body = keySetOf(...keys);
    await new Promise<void>((resolve) => server.#server.listen(0, "127.0.0.1", resolve));
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/keys`;
  }

  /** Stops answering. */
  stop(): Promise<void> {
    this.#server.closeAllConnections();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }
}
