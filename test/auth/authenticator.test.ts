import { X509Certificate } from "node:crypto";
import type { PeerCertificate } from "node:tls";
import { expect } from "chai";
import {
  type AuthOutcome,
  type Credentials,
  createAuthenticator,
  withAuthenticationMetrics,
} from "../../src/auth/authenticator.ts";
import { BearerAuthenticator, type BearerRules } from "../../src/auth/bearer-authenticator.ts";
import { CertificateAuthenticator } from "../../src/auth/certificate-authenticator.ts";
import { parseCertificateRoles } from "../../src/auth/certificate-roles.ts";
import { JwksCache } from "../../src/auth/jwks-cache.ts";
import { type Principal, UNRESTRICTED_PRINCIPAL } from "../../src/caller.ts";
import { keysUnavailable, unauthenticated } from "../../src/errors.ts";
import { systemClock } from "../../src/time/clock.ts";
import { createAuthority } from "../support/certificates.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { createSigningKey, KeyServer, signToken } from "../support/issuer.ts";
import { memoryLog } from "../support/memory-log.ts";
import { rejection } from "../support/rejection.ts";

describe("createAuthenticator", () => {
  const clock = new FakeClock();
  const certificateAuthenticator = new CertificateAuthenticator(
    parseCertificateRoles("DNS:gateway.internal=check"),
    {
      now: () => systemClock.now(),
    },
  );
  let server: KeyServer;
  let keys: JwksCache;
  let bearerAuthenticator: BearerAuthenticator;
  let certificate: PeerCertificate;
  let authorization: string;

  before(async () => {
    const key = await createSigningKey("k1");
    server = await KeyServer.start(key);
    keys = new JwksCache({
      source: { kind: "url", url: server.url },
      name: "callers",
      clock,
      log: memoryLog().log,
    });
    keys.start();
    const [iss, aud] = ["https://id.example", "token-blacklist"];
    bearerAuthenticator = new BearerAuthenticator({
      rules: rulesOf(iss, aud),
      ...{ keys, clock, now: () => clock.now() },
    });
    const exp = clock.now() / 1000 + 600;
    authorization = `Bearer ${await signToken(key, { iss, aud, exp, sub: "auth", scope: "revoke" })}`;
    const issued = await (await createAuthority()).issue([{ type: "dns", value: "gateway.internal" }]);
    certificate = new X509Certificate(issued.certificate).toLegacyObject() as PeerCertificate;
  });

  after(async () => {
    keys.stop();
    await server.stop();
  });

  type Kinds = Partial<Parameters<typeof createAuthenticator>[0]>;
  interface Shown {
    readonly authorization?: readonly unknown[];
    readonly certificate?: PeerCertificate;
  }

  async function authenticate(kinds: Kinds, { authorization = [], certificate }: Shown): Promise<Principal> {
    const known = createAuthenticator({
      bearerAuthenticator: undefined,
      certificateAuthenticator: undefined,
      ...kinds,
    });
    return known({ authorization, certificate: () => certificate });
  }

  /** The caller's name and roles, or the reason of the refusal. */
  async function told(kinds: Kinds, shown: Shown): Promise<unknown> {
    try {
      const { name, roles } = await authenticate(kinds, shown);
      return [name, ...roles];
    } catch (error) {
      expect(error).to.include({ reason: "UNAUTHENTICATED" });
      return (error as Error).message;
    }
  }

  const BY_TOKEN = ["auth", "revoke"];
  const BY_CERTIFICATE = ["DNS:gateway.internal", "check"];
  const MALFORMED = "the authorization metadata must be a single value: Bearer and the token";

  it("gives every caller all roles if no kind of credential is configured", async () => {
    for (const shown of [{}, { authorization: ["Basic c4n4ry"] }, { certificate }]) {
      expect(await authenticate({}, shown)).to.equal(UNRESTRICTED_PRINCIPAL);
    }
  });

  it("authenticates only by token if certificates are not configured", async () => {
    const NEEDED = "the call needs a bearer token in the authorization metadata";
    expect([
      await told({ bearerAuthenticator }, { authorization: [authorization] }),
      await told({ bearerAuthenticator }, {}),
      await told({ bearerAuthenticator }, { certificate }),
      await told({ bearerAuthenticator }, { authorization: ["Basic c4n4ry"], certificate }),
    ]).to.deep.equal([BY_TOKEN, NEEDED, NEEDED, MALFORMED]);
  });

  it("authenticates only by certificate if tokens are not configured", async () => {
    const NEEDED = "the call needs a client certificate";
    expect([
      await told({ certificateAuthenticator }, { certificate }),
      await told({ certificateAuthenticator }, {}),
      await told({ certificateAuthenticator }, { authorization: [authorization] }),
      await told({ certificateAuthenticator }, { authorization: ["Basic c4n4ry"], certificate }),
    ]).to.deep.equal([BY_CERTIFICATE, NEEDED, NEEDED, BY_CERTIFICATE]);
  });

  it("authenticates by either if both are configured", async () => {
    expect([
      await told({ bearerAuthenticator, certificateAuthenticator }, { authorization: [authorization] }),
      await told({ bearerAuthenticator, certificateAuthenticator }, { certificate }),
      await told({ bearerAuthenticator, certificateAuthenticator }, {}),
    ]).to.deep.equal([
      BY_TOKEN,
      BY_CERTIFICATE,
      "the call needs a bearer token in the authorization metadata or a client certificate",
    ]);
  });

  it("prefers the token, with only its own roles", async () => {
    expect(
      await told(
        { bearerAuthenticator, certificateAuthenticator },
        { authorization: [authorization], certificate },
      ),
    ).to.deep.equal(BY_TOKEN);
  });

  it("does not fall back to the certificate if the token is invalid", async () => {
    const shown = (...values: unknown[]) => ({ authorization: values, certificate });
    expect([
      await told({ bearerAuthenticator, certificateAuthenticator }, shown("Basic c4n4ry")),
      await told({ bearerAuthenticator, certificateAuthenticator }, shown("")),
      await told({ bearerAuthenticator, certificateAuthenticator }, shown(authorization, authorization)),
      await told({ bearerAuthenticator, certificateAuthenticator }, shown("Bearer c4n4ry")),
    ]).to.deep.equal([
      MALFORMED,
      MALFORMED,
      MALFORMED,
      "the bearer token must be a signed JWT: three parts with dots between them",
    ]);
  });

  it("refuses callers while the keys to verify tokens are unavailable", async () => {
    const unread = new JwksCache({
      ...{ source: { kind: "file", path: "/" }, name: "callers", clock, log: memoryLog().log },
    });
    const rules = rulesOf("i", "a");
    const blind = new BearerAuthenticator({ rules, keys: unread, clock, now: () => clock.now() });
    const shown = { authorization: [authorization], certificate };
    expect(
      await rejection(authenticate({ bearerAuthenticator: blind, certificateAuthenticator }, shown)),
    ).to.include({
      reason: "KEYS_UNAVAILABLE",
    });
  });

  it("reads the certificate only if it is needed", async () => {
    const authenticateBoth = createAuthenticator({ bearerAuthenticator, certificateAuthenticator });
    let looked = 0;
    const credentials = {
      authorization: [authorization],
      certificate: () => {
        looked++;
        return certificate;
      },
    };
    await authenticateBoth(credentials);
    expect(looked).to.equal(0);
  });
});

function rulesOf(issuer: string, audience: string): BearerRules {
  return { issuer, audience, algorithms: ["ES256"], scopeClaim: "scope", clockToleranceMs: 0 };
}

const CREDENTIALS: Credentials = { authorization: [], certificate: () => undefined };

describe("withAuthenticationMetrics", () => {
  const errors: Record<Exclude<AuthOutcome, "known">, Error> = {
    refused: unauthenticated("no"),
    unavailable: keysUnavailable(),
    failed: new TypeError("unexpected"),
  };
  for (const [outcome, error] of Object.entries(errors)) {
    it(`reports an outcome of ${outcome} once, synchronously or not, and rethrows the error`, async () => {
      const told: AuthOutcome[] = [];
      const now = withAuthenticationMetrics(
        () => {
          throw error;
        },
        (one) => told.push(one),
      );
      expect(() => now(CREDENTIALS)).to.throw(error);
      const later = withAuthenticationMetrics(
        () => Promise.reject(error),
        (one) => told.push(one),
      );
      expect(await rejection(Promise.resolve(later(CREDENTIALS)))).to.equal(error);
      expect(told).to.deep.equal([outcome, outcome]);
    });
  }

  it("reports an authenticated caller once, and returns the principal without an added promise", async () => {
    const told: AuthOutcome[] = [];
    const tell = (one: AuthOutcome) => told.push(one);
    expect(withAuthenticationMetrics(() => UNRESTRICTED_PRINCIPAL, tell)(CREDENTIALS)).to.equal(
      UNRESTRICTED_PRINCIPAL,
    );
    expect(await withAuthenticationMetrics(async () => UNRESTRICTED_PRINCIPAL, tell)(CREDENTIALS)).to.equal(
      UNRESTRICTED_PRINCIPAL,
    );
    expect(told).to.deep.equal(["known", "known"]);
  });
});
