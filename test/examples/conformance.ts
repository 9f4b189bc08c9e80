import { createPublicKey } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { type JWTPayload, SignJWT, UnsecuredJWT } from "jose";
import { freePort } from "../support/free-port.ts";
import { createSigningKey, KeyServer, type SigningKey, signToken } from "../support/issuer.ts";
import { type ServiceProcess, serveProcess } from "../support/service-process.ts";
import { freshFolder } from "../support/shared.ts";
import { until } from "../support/until.ts";
import { type Answer, ExampleProcess } from "./example-process.ts";
import { type Installed, installExamples, type Versions } from "./installed.ts";

/** A route that accepts a result of a second ago, and one that is checked fully fresh. */
const RELAXED = "GET /orders";
const STRICT = "POST /transfers";
const ROUTES = [RELAXED, STRICT];

/** For packing, and fetching some two hundred packages. */
const INSTALL_TIMEOUT_MS = 300_000;

/** The promised staleness of these routes. */
const STALENESS_MS = 1000;
const DEADLINE_MS = 1000;
/** A margin for a busy machine. Less than a second: two is the client's own deadline. */
const SLACK_MS = 900;

const ISSUER = "https://issuer.test";
const AUDIENCE = "orders";
const SUBJECT = "somebody";

const PASSES: Answer = { status: 200, wwwAuthenticate: null, retryAfter: null, body: { subject: SUBJECT } };
const NO_TOKEN: Answer = {
  status: 401,
  wwwAuthenticate: 'Bearer realm="orders"',
  retryAfter: null,
  body: undefined,
};
const BAD_TOKEN: Answer = { ...NO_TOKEN, wwwAuthenticate: 'Bearer realm="orders", error="invalid_token"' };
const CANNOT_TELL: Answer = { status: 503, wwwAuthenticate: null, retryAfter: "1", body: undefined };

/**
 * The required behaviour of every gateway in `examples/` with valid, invalid and revoked tokens, and in outages. `name` is its folder. It runs from a
 * copy, with these versions of its packages.
 */
export function conforms(name: string, versions: Versions): void {
  describe(`the ${name} example with the ${versions} versions`, () => {
    let installed: Installed;
    let folder: string;
    let address: string;
    let service: ServiceProcess;
    let key: SigningKey;
    let issuer: KeyServer;
    let gateway: ExampleProcess;
    let lastJti = 0;

    const serve = () =>
      serveProcess(
        { DATABASE_URL: `sqlite:${join(folder, "x.db")}`, LISTEN_ADDRESS: address },
        { main: installed.main },
      );
    const start = (changes: Readonly<Record<string, string>> = {}) =>
      ExampleProcess.start(join(installed.folder, name, "main.ts"), {
        ISSUER,
        AUDIENCE,
        JWKS_URL: issuer.url,
        BLACKLIST_ADDRESS: address,
        ...changes,
      });

    function newClaims(): JWTPayload & { jti: string; exp: number } {
      const exp = Math.floor(Date.now() / 1000) + 600;
      return { iss: ISSUER, aud: AUDIENCE, sub: SUBJECT, jti: `jti-${++lastJti}`, exp };
    }

    async function newToken() {
      const { jti, exp, ...claims } = newClaims();
      const expiresAt = { seconds: BigInt(exp), nanos: 0 };
      return {
        token: await signToken(key, { ...claims, jti, exp }),
        revoke: () =>
          service.client.blacklist({ tokens: [{ token: { case: "jti", value: jti }, expiresAt }] }),
      };
    }

    before(async function () {
      this.timeout(INSTALL_TIMEOUT_MS);
      installed = await installExamples(versions);
      folder = await freshFolder();
      address = `127.0.0.1:${await freePort()}`;
      key = await createSigningKey("first");
      issuer = await KeyServer.start(key);
      service = await serve();
      gateway = await start();
    });

    after(async () => {
      await gateway?.kill();
      await service?.kill();
      await issuer?.stop();
      await rm(folder, { recursive: true });
    });

    it("passes a valid token", async () => {
      const { token } = await newToken();
      expect(await Promise.all(ROUTES.map((route) => gateway.ask(route, token)))).to.deep.equal([
        PASSES,
        PASSES,
      ]);
    });

    it("returns 404 for an unknown path with a valid token", async () => {
      const { token } = await newToken();
      expect((await gateway.ask("GET /nothing", token)).status).to.equal(404);
    });

    it("requires a token without an error code if there is none", async () => {
      const answers = [
        await gateway.ask(RELAXED),
        await gateway.ask(STRICT),
        await gateway.fetch(STRICT, { authorization: "Basic bm9ib2R5Om5vdGhpbmc=" }),
      ];
      expect(answers).to.deep.equal([NO_TOKEN, NO_TOKEN, NO_TOKEN]);
    });

    it("refuses a revoked token at once where it checks fully fresh", async () => {
      const { token, revoke } = await newToken();
      const before = await gateway.ask(STRICT, token);
      await revoke();
      expect([before, await gateway.ask(STRICT, token)]).to.deep.equal([PASSES, BAD_TOKEN]);
    });

    it("refuses a revoked token elsewhere within the promised staleness", async () => {
      const { token, revoke } = await newToken();
      const answers = [await gateway.ask(RELAXED, token)];
      await revoke();
      await until(
        async () => {
          const answer = await gateway.ask(RELAXED, token);
          if (answer.status === 200) answers.push(answer);
          else expect(answer).to.deep.equal(BAD_TOKEN);
          return answer.status !== 200;
        },
        { withinMs: STALENESS_MS, what: "the revoked token is refused" },
      );
      expect(new Set(answers.map(({ status }) => status))).to.deep.equal(new Set([200]));
    });

    const forgeries: Readonly<Record<string, () => Promise<string> | string>> = {
      "signed with another key": async () => signToken(await createSigningKey("first"), newClaims()),
      "signed with a key that the issuer does not have": async () =>
        signToken(await createSigningKey("second"), newClaims()),
      "of another issuer": () => signToken(key, { ...newClaims(), iss: "https://other.test" }),
      "for another audience": () => signToken(key, { ...newClaims(), aud: "others" }),
      "that has expired": () => signToken(key, { ...newClaims(), exp: Math.floor(Date.now() / 1000) - 1 }),
      "that never expires": () => signToken(key, without("exp")),
      "without a jti": () => signToken(key, without("jti")),
      "whose jti is a number": () => signToken(key, { ...newClaims(), jti: 1 as unknown as string }),
      "whose jti is too long to be revoked": () => signToken(key, { ...newClaims(), jti: "x".repeat(256) }),
      "with an unknown critical extension": () => signToken(key, newClaims(), { crit: ["x"], x: 1 }),
      "that is not signed": () => new UnsecuredJWT(newClaims()).encode(),
      "signed with the public key as a secret": async () => {
        const pem = createPublicKey({ key: key.publicJwk, format: "jwk" }).export({
          type: "spki",
          format: "pem",
        });
        const header = { alg: "HS256", kid: key.kid };
        return new SignJWT(newClaims()).setProtectedHeader(header).sign(Buffer.from(pem));
      },
      "that is none": () => "nonsense",
      "that only looks like one": () => "a.b.c",
    };
    function without(claim: string): JWTPayload {
      return Object.fromEntries(Object.entries(newClaims()).filter(([name]) => name !== claim));
    }
    for (const [what, forge] of Object.entries(forgeries)) {
      it(`refuses a token ${what}`, async () => {
        const token = await forge();
        const answers = await Promise.all(ROUTES.map((route) => gateway.ask(route, token)));
        expect(answers).to.deep.equal([BAD_TOKEN, BAD_TOKEN]);
      });
    }

    it("passes no token in an outage beyond the promised staleness, and still refuses revoked ones", async () => {
      const [good, asked, unasked] = [await newToken(), await newToken(), await newToken()];
      await asked.revoke();
      await gateway.ask(STRICT, asked.token);
      await unasked.revoke();
      // After a proof that is later than the revocation, the gateway has it without a check.
      expect(await gateway.ask(STRICT, good.token)).to.deep.equal(PASSES);

      await service.kill();
      const killedAt = performance.now();
      try {
        expect(await gateway.ask(STRICT, good.token)).to.deep.equal(CANNOT_TELL);
        expect(performance.now() - killedAt).to.be.below(DEADLINE_MS + SLACK_MS);
        await until(async () => (await gateway.ask(RELAXED, good.token)).status !== 200, {
          withinMs: STALENESS_MS + DEADLINE_MS + SLACK_MS,
          what: "the route that may be late refuses too",
        });
        expect(await gateway.ask(RELAXED, good.token)).to.deep.equal(CANNOT_TELL);
        for (const { token } of [asked, unasked]) {
          for (const route of ROUTES) expect(await gateway.ask(route, token)).to.deep.equal(BAD_TOKEN);
        }
        expect(await gateway.ask(STRICT, "nonsense")).to.deep.equal(BAD_TOKEN);
      } finally {
        service = await serve();
      }
      await until(async () => (await gateway.ask(STRICT, good.token)).status === 200, {
        withinMs: 15_000,
        what: "the good token passes again",
      });
      expect(await gateway.ask(STRICT, unasked.token)).to.deep.equal(BAD_TOKEN);
    });

    it("passes no token before issuer and service are available, if started first", async () => {
      issuer.status = 500;
      const early = await start({ BLACKLIST_ADDRESS: `127.0.0.1:${await freePort()}` });
      try {
        const { token } = await newToken();
        expect(await early.ask(RELAXED, token)).to.deep.equal(CANNOT_TELL);
        issuer.status = 200;
        const forged = await signToken(await createSigningKey("first"), newClaims());
        const answers = await Promise.all([early.ask(RELAXED, token), early.ask(STRICT, token)]);
        expect(answers).to.deep.equal([CANNOT_TELL, CANNOT_TELL]);
        expect(await early.ask(RELAXED, forged)).to.deep.equal(BAD_TOKEN);
      } finally {
        issuer.status = 200;
        await early.kill();
      }
    });

    it("ends on SIGTERM, with its client closed", async () => {
      const other = await start();
      try {
        expect(await other.ask(STRICT, (await newToken()).token)).to.deep.equal(PASSES);
        expect(await other.stop()).to.equal(0);
      } finally {
        await other.kill();
      }
    });
  });
}
