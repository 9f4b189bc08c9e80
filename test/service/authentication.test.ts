import { createHmac, createPublicKey } from "node:crypto";
import { join } from "node:path";
import type { StatusObject } from "@grpc/grpc-js";
import { expect } from "chai";
import type { JWTPayload } from "jose";
import {
  BlacklistRequestSchema,
  IsBlacklistedRequestSchema,
  ListRequestSchema,
  PruneRequestSchema,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { ROLES } from "../../src/caller.ts";
import type { EpochMs } from "../../src/entry.ts";
import { type Clock, systemClock } from "../../src/time/clock.ts";
import { Asker } from "../support/asker.ts";
import { AUDIENCE, connectOverTls, ISSUER, TokenCallers } from "../support/callers.ts";
import { type Authority, type CertificateAndKey, createAuthority } from "../support/certificates.ts";
import { checkHealth } from "../support/health-client.ts";
import { createSigningKey } from "../support/issuer.ts";
import { bytesOf, type RawAnswer, RawChannel } from "../support/raw-channel.ts";
import { YEAR_2100 } from "../support/revoke.ts";
import { SecuredFiles, type SignOptions } from "../support/secured-files.ts";
import { type RunningService, startService } from "../support/service.ts";
import { freshFolder } from "../support/shared.ts";
import { detailsOf } from "../support/status-details.ts";
import { ends } from "../support/stream-end.ts";
import { until } from "../support/until.ts";

const now = () => Math.floor(Date.now() / 1000);

/** The methods of each role. */
const CALLS = {
  check: ["IsBlacklisted", bytesOf(IsBlacklistedRequestSchema, { jtis: ["a"] })],
  revoke: [
    "Blacklist",
    bytesOf(BlacklistRequestSchema, {
      tokens: [{ token: { case: "jti", value: "a" }, expiresAt: YEAR_2100 }],
    }),
  ],
  list: ["List", bytesOf(ListRequestSchema, {})],
  prune: ["Prune", bytesOf(PruneRequestSchema, {})],
} as const;

/** The expected result: OK, or the reason of the refusal and a pattern of its message. */
type Expected = (role: (typeof ROLES)[number]) => readonly [reason: string, text?: RegExp];

const letIn: Expected = () => ["OK"];
const unauthenticated =
  (text: RegExp): Expected =>
  () => ["UNAUTHENTICATED", text];
const only =
  (...allowed: readonly string[]): Expected =>
  (role) =>
    allowed.includes(role) ? ["OK"] : ["PERMISSION_DENIED", new RegExp(`\\b${role}\\b`)];

describe("authentication", () => {
  let files: SecuredFiles;
  let running: RunningService;
  const channels: RawChannel[] = [];

  before(async () => {
    files = await SecuredFiles.create();
    running = await startService({
      url: `sqlite:${files.file("token-blacklist.db")}`,
      env: {
        ...files.env,
        TLS_CLIENT_ROLES: [
          ...ROLES.map((role) => `DNS:${role}.test=${role}`),
          "URI:spiffe://test/operator=list,prune",
        ].join(" "),
      },
    });
    await running.indexLoaded().catch(() => {});
  });

  after(async () => {
    for (const channel of channels) channel.close();
    await running?.stop();
  });

  function connect(own?: CertificateAndKey): RawChannel {
    const channel = connectOverTls(running.address, files.authority, own);
    channels.push(channel);
    return channel;
  }

  const bearer = (claims?: JWTPayload, options?: SignOptions) => files.token(claims, options);
  const without = async (claim: string) => bearer({ [claim]: undefined });

  async function expectEach(
    expected: Expected,
    { channel = connect(), authorization = [] }: { channel?: RawChannel; authorization?: readonly string[] },
  ): Promise<void> {
    for (const role of ROLES) {
      const [method, bytes] = CALLS[role];
      const answer = await channel.call(`/tokenblacklist.v1.TokenBlacklist/${method}`, bytes, {
        timeoutMs: 5000,
        authorization,
      });
      const [reason, text = /^/] = expected(role);
      expect([method, reasonIn(answer)]).to.deep.equal([method, reason]);
      expect(answer.details).to.match(text);
    }
    const [reason, text = /^/] = expected("check");
    const streamed = await askedOver(channel, authorization);
    expect(["StreamChecks", streamed.reason]).to.deep.equal(["StreamChecks", reason]);
    expect(streamed.text).to.match(text);
  }

  const TOKENS: Record<string, [token: () => Promise<string>, expected: Expected]> = {
    "all roles in one scope": [() => bearer(), letIn],
    "all roles as a list": [() => bearer({ scope: [...ROLES] }), letIn],
    "several audiences, one of them this": [() => bearer({ aud: ["else", AUDIENCE] }), letIn],
    "other scopes beside a role": [() => bearer({ scope: "openid list email" }), only("list")],
    "no scope": [() => without("scope"), only()],
    "a scope that only looks like a role": [() => bearer({ scope: "CHECK checks check,list" }), only()],
    "an empty signature": [
      async () => (await bearer()).replace(/[^.]*$/, ""),
      unauthenticated(/signature|well-formed/),
    ],
    "a changed payload": [async () => forged(await bearer({ scope: "check" })), unauthenticated(/signature/)],
    "no algorithm": [async () => unsigned("none"), unauthenticated(/algorithm is none/)],
    "no algorithm, oddly written": [async () => unsigned("nOnE"), unauthenticated(/algorithm is none/)],
    "the public key as a shared secret": [async () => confused(), unauthenticated(/shared secret/)],
    "another's key under a known name": [
      async () => bearer({}, { signer: await createSigningKey("k1") }),
      unauthenticated(/signature/),
    ],
    "an unknown key": [
      async () => bearer({}, { signer: await createSigningKey("k2") }),
      unauthenticated(/key/),
    ],
    "an algorithm that is not accepted": [
      async () => bearer({}, { signer: await createSigningKey("k1", "ES384") }),
      unauthenticated(/algorithm/),
    ],
    "a critical header": [
      () => bearer({}, { header: { crit: ["exp"], exp: 1 } }),
      unauthenticated(/critical/),
    ],
    "its own key in its header": [
      async () => {
        const own = await createSigningKey("own");
        return bearer({}, { signer: own, header: { jwk: own.publicJwk, jku: "https://evil.test/keys" } });
      },
      unauthenticated(/key/),
    ],
    expired: [() => bearer({ exp: now() - 1 }), unauthenticated(/expired/)],
    "not valid yet": [() => bearer({ nbf: now() + 600 }), unauthenticated(/not valid yet/)],
    "another audience": [() => bearer({ aud: "else" }), unauthenticated(/not intended for/)],
    "an audience that only begins alike": [
      () => bearer({ aud: `${AUDIENCE}2` }),
      unauthenticated(/not intended/),
    ],
    "another issuer": [() => bearer({ iss: `${ISSUER}/` }), unauthenticated(/issuer/)],
    "no issuer": [() => without("iss"), unauthenticated(/issuer/)],
    "no audience": [() => without("aud"), unauthenticated(/not intended for/)],
    "no expiry": [() => without("exp"), unauthenticated(/must have an exp/)],
    "no subject": [() => without("sub"), unauthenticated(/must have a sub/)],
    "too long a subject": [() => bearer({ sub: "s".repeat(256) }), unauthenticated(/255 bytes/)],
    "five parts": [async () => "a.b.c.d.e", unauthenticated(/not encrypted/)],
    "no parts": [async () => "garbage", unauthenticated(/three parts/)],
    "too many bytes": [async () => `${await bearer()}${"A".repeat(6000)}`, unauthenticated(/./)],
    ...Object.fromEntries(ROLES.map((role) => [`role ${role}`, [() => bearer({ scope: role }), only(role)]])),
  };

  /** The same signature with more roles. */
  function forged(token: string): string {
    const [header, payload = "", signature] = token.split(".");
    const claims = JSON.parse(Buffer.from(payload, "base64url").toString());
    const more = Buffer.from(JSON.stringify({ ...claims, scope: ROLES.join(" ") })).toString("base64url");
    return [header, more, signature].join(".");
  }

  function encoded(header: object): string {
    const claims = { iss: ISSUER, aud: AUDIENCE, sub: "s", exp: now() + 600, scope: "check" };
    return [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
  }

  function unsigned(alg: string): string {
    return `${encoded({ alg, kid: "k1" })}.`;
  }

  /** RFC 8725, 2.1: the public key used as a shared secret. */
  function confused(): string {
    const text = encoded({ alg: "HS256", kid: "k1" });
    const secret = createPublicKey({ key: files.key.publicJwk as never, format: "jwk" }).export({
      format: "pem",
      type: "spki",
    });
    return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
  }

  for (const [name, [token, expected]] of Object.entries(TOKENS)) {
    it(`a bearer token with ${name}`, async () => {
      await expectEach(expected, { authorization: [`Bearer ${await token()}`] });
    });
  }

  it("no credential", () =>
    expectEach(unauthenticated(/needs a bearer token .* or a client certificate/), {}));

  it("authorization that is not a single bearer token", async () => {
    const token = await bearer();
    for (const authorization of [
      ["Basic dXNlcjpwYXNz"],
      [token],
      ["Bearer"],
      ["Bearer  "],
      [`Bearer ${token} more`],
    ]) {
      await expectEach(unauthenticated(/authorization metadata/), { authorization });
    }
    await expectEach(letIn, { authorization: [`bearer ${token}`] });
  });

  it("each certificate, by its names", async () => {
    const dns = (value: string) => [{ type: "dns", value }] as const;
    for (const role of ROLES) {
      await expectEach(only(role), {
        channel: connect(await files.authority.issue([...dns(`${role}.test`)])),
      });
    }
    const cases: [Parameters<Authority["issue"]>[0], Expected][] = [
      [[{ type: "url", value: "spiffe://test/operator" }], only("list", "prune")],
      [[...dns("check.test"), ...dns("revoke.test")], only("check", "revoke")],
      [[...dns("other.test")], only()],
      [[{ type: "email", value: "check.test" }], only()],
      [[...dns("xcheck.test")], only()],
    ];
    for (const [names, expected] of cases) {
      await expectEach(expected, { channel: connect(await files.authority.issue(names)) });
    }
  });

  it("a certificate that does not verify ends the connection instead of making an anonymous caller", async () => {
    const names = [{ type: "dns", value: "check.test" }] as const;
    const strangers = await createAuthority("authority");
    for (const own of [
      await strangers.issue([...names]),
      await files.authority.issue([...names], { expired: true }),
    ]) {
      const channel = connect(own);
      const [method, bytes] = CALLS.check;
      const path = `/tokenblacklist.v1.TokenBlacklist/${method}`;
      const answer = await channel.call(path, bytes, {
        timeoutMs: 3000,
        authorization: [`Bearer ${await bearer()}`],
      });
      expect(answer.code).to.be.oneOf(["UNAVAILABLE", "DEADLINE_EXCEEDED"]);
      expect(await checkHealth(channel).catch(() => "refused")).to.equal("refused");
    }
  });

  it("a token takes precedence over the certificate, and an invalid token is not replaced by it", async () => {
    const channel = connect(await files.authority.issue([{ type: "dns", value: "check.test" }]));
    await expectEach(only("list"), { channel, authorization: [`Bearer ${await bearer({ scope: "list" })}`] });
    await expectEach(unauthenticated(/expired/), {
      channel,
      authorization: [`Bearer ${await bearer({ exp: now() - 1 })}`],
    });
    await expectEach(only("check"), { channel });
  });

  it("a caller whose own token is blacklisted is refused, cached or not", async () => {
    const token = await bearer({ jti: "own" });
    const before = connect();
    await expectEach(letIn, { channel: before, authorization: [`Bearer ${token}`] });
    const tokens = [{ token: { case: "jti" as const, value: "own" }, expiresAt: YEAR_2100 }];
    const answer = await connect().call(
      "/tokenblacklist.v1.TokenBlacklist/Blacklist",
      bytesOf(BlacklistRequestSchema, { tokens }),
      { authorization: [`Bearer ${await bearer({ jti: "other" })}`] },
    );
    expect(answer.code).to.equal("OK");
    const refused = unauthenticated(/own token is blacklisted/);
    await expectEach(refused, { channel: before, authorization: [`Bearer ${token}`] });
    await expectEach(refused, {
      authorization: [`Bearer ${await bearer({ jti: "own", exp: now() + 900 })}`],
    });
  });

  it("health needs no authentication, and reflection is off", async () => {
    const channel = connect();
    await until(async () => (await checkHealth(channel)) === "SERVING", {
      withinMs: 5000,
      what: "the service is healthy",
    });
    const path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    expect((await channel.call(path, new Uint8Array())).code).to.equal("UNIMPLEMENTED");
  });

  it("the entry and the audit log name the caller, and no line contains a credential", async () => {
    const token = await bearer({ sub: "auth-service" });
    const tokens = [
      { token: { case: "jti" as const, value: "audited" }, expiresAt: YEAR_2100, reason: "why" },
    ];
    await connect().call(
      "/tokenblacklist.v1.TokenBlacklist/Blacklist",
      bytesOf(BlacklistRequestSchema, { tokens }),
      { authorization: [`Bearer ${token}`] },
    );
    const line = running.logs().findLast(({ msg }) => msg === "audit") as Record<string, unknown>;
    const { peer, level, ...rest } = line;
    expect(rest).to.deep.equal({
      method: "Blacklist",
      code: "OK",
      caller: "auth-service",
      count: 1,
      outcomes: { created: 1 },
      tokens: [
        {
          ...{ jti: "audited", outcome: "created", reason: "why" },
          expires_at: new Date(Number(YEAR_2100.seconds) * 1000).toISOString(),
        },
      ],
      msg: "audit",
    });
    expect(String(peer)).to.match(/^(127\.0\.0\.1|::1|::ffff:127\.0\.0\.1):\d+$/);
    expect(running.logText()).not.to.include(token.split(".")[2]);
    expect(running.logText()).not.to.match(/eyJ/);
  });
});

describe("a service whose clock was set back", () => {
  it("refuses a token that has expired by the database's clock", async () => {
    const callers = await TokenCallers.create();
    const behind: Clock = {
      now: () => (systemClock.now() - 3_600_000) as EpochMs,
      monotonic: () => systemClock.monotonic(),
      schedule: (delayMs, callback) => systemClock.schedule(delayMs, callback),
    };
    const running = await startService({
      url: `sqlite:${join(await freshFolder(), "token-blacklist.db")}`,
      env: callers.env,
      clock: behind,
    });
    const channel = new RawChannel(running.address);
    try {
      const reasons: string[] = [];
      for (const exp of [now() - 60, now() + 60]) {
        const authorization = await callers.bearer({ exp });
        const [method, bytes] = CALLS.check;
        const path = `/tokenblacklist.v1.TokenBlacklist/${method}`;
        reasons.push(reasonIn(await channel.call(path, bytes, { timeoutMs: 5000, authorization })));
        reasons.push((await askedOver(channel, authorization)).reason);
      }
      expect(reasons).to.deep.equal(["UNAUTHENTICATED", "UNAUTHENTICATED", "OK", "OK"]);
    } finally {
      channel.close();
      await running.stop();
    }
  });
});

/** The outcome of a question on a stream: its own refusal, or that of a caller without permission. */
async function askedOver(
  channel: RawChannel,
  authorization: readonly string[],
): Promise<{ reason: string; text: string }> {
  const asker = new Asker(channel, { authorization, timeoutMs: 5000 });
  const status = new Promise<StatusObject>((resolve) => asker.stream.once("status", resolve));
  const outcome = await asker.ask({ jtis: ["a"] });
  if (outcome === "unanswered") {
    return { reason: reasonOf(await asker.ended), text: (await status).details };
  }
  expect(await asker.done()).to.deep.equal(ends("OK"));
  return "verdicts" in outcome
    ? { reason: "OK", text: "" }
    : { reason: reasonOf(outcome), text: outcome.message };
}

function reasonIn(answer: RawAnswer): string {
  return reasonOf({ code: answer.code, reason: detailsOf(answer)?.reason });
}

function reasonOf({ code, reason }: { code: string; reason: string | undefined }): string {
  if (code === "OK") return "OK";
  // Both are named like their codes.
  return code === reason ? reason : `${code} ${reason}`;
}
