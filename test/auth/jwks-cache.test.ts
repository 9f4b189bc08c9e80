import { generateKeyPairSync } from "node:crypto";
import { rm, writeFile } from "node:fs/promises";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { expect } from "chai";
import { errors } from "jose";
import { KEYS_TIMEOUT_MS, MAX_KEYS_BYTES } from "../../src/auth/fetch-jwks.ts";
import {
  JwksCache,
  KEYS_RELOAD_MS,
  KEYS_RETRY_MS,
  UNKNOWN_KEY_RELOAD_MS,
} from "../../src/auth/jwks-cache.ts";
import type { JwksSource } from "../../src/auth/jwks-source.ts";
import { MAX_KEYS } from "../../src/auth/parse-jwks.ts";
import type { ServiceError } from "../../src/errors.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { createSigningKey, KeyServer, keySetOf, type SigningKey } from "../support/issuer.ts";
import { memoryLog } from "../support/memory-log.ts";
import { rejection } from "../support/rejection.ts";
import { freshFolder } from "../support/shared.ts";
import { until } from "../support/until.ts";

const HOUR = 3_600_000;
const UNKNOWN = "ERR_JWKS_NO_MATCHING_KEY";
const CANARY = "c4n4ry";
const NO_TOKEN = { payload: "", signature: "" };

describe("JwksCache", () => {
  let old: SigningKey;
  let next: SigningKey;
  let server: KeyServer;
  let clock: FakeClock;
  let log: ReturnType<typeof memoryLog>;
  let opened: JwksCache[];
  let closing: (() => Promise<void>)[];

  before(async () => {
    [old, next] = await Promise.all([createSigningKey("old"), createSigningKey("next")]);
  });

  beforeEach(async () => {
    clock = new FakeClock();
    log = memoryLog();
    opened = [];
    closing = [];
    server = await KeyServer.start(old);
    closing.push(() => server.stop());
  });

  afterEach(async () => {
    for (const keys of opened) keys.stop();
    await Promise.all(closing.map((close) => close()));
  });

  function start(source: JwksSource = { kind: "url", url: server.url }): JwksCache {
    const keys = new JwksCache({ source, name: "callers", clock, log: log.log });
    opened.push(keys);
    keys.start();
    return keys;
  }

  /** The result for a token whose header names the key `kid`. */
  async function look(keys: JwksCache, kid: string): Promise<unknown> {
    try {
      const key = await keys.verifyWith((find) => find({ alg: "ES256", kid }, NO_TOKEN));
      return key.type;
    } catch (error) {
      const { reason, code } = error as { reason?: string; code?: string };
      return reason ?? code;
    }
  }

  /** The reported retry delay. */
  async function waitFor(keys: JwksCache, kid: string): Promise<number | undefined> {
    const error = await rejection(keys.verifyWith((find) => find({ alg: "ES256", kid }, NO_TOKEN)));
    return (error as ServiceError).retryAfterMs;
  }

  /** Resolves once the key set has been read and the next read is scheduled. */
  const idle = () =>
    until(() => clock.pendingTimers === 1, { withinMs: 20_000, what: "the key set was read" });

  async function ready(source?: JwksSource): Promise<JwksCache> {
    const keys = start(source);
    await idle();
    return keys;
  }

  async function pass(ms: number): Promise<void> {
    clock.advance(ms);
    await idle();
  }

  describe("while its provider responds", () => {
    it("is read at start, and verifications wait for the first read", async () => {
      const keys = start();
      expect([await look(keys, "old"), keys.version, server.requests]).to.deep.equal(["public", 1, 1]);
    });

    it("is refreshed in the background without calls", async () => {
      await ready();
      for (const requests of [2, 3, 4]) {
        clock.advance(KEYS_RELOAD_MS - 1);
        expect([server.requests, clock.pendingTimers]).to.deep.equal([requests - 1, 1]);
        await pass(1);
        expect(server.requests).to.equal(requests);
      }
    });

    it("applies new and withdrawn keys within a minute", async () => {
      const keys = await ready();
      server.body = keySetOf(next);
      await pass(60_000);
      expect(server.requests).to.equal(2);
      expect([await look(keys, "next"), await look(keys, "old")]).to.deep.equal(["public", UNKNOWN]);
      expect(KEYS_RELOAD_MS + KEYS_TIMEOUT_MS).to.be.below(60_000);
    });

    it("reads a new key at once for a token that names it", async () => {
      const keys = await ready();
      server.body = keySetOf(old, next);
      expect([await look(keys, "next"), server.requests]).to.deep.equal(["public", 2]);
    });

    it("reads once for any number of unknown keys at the same time", async () => {
      const keys = await ready();
      const looked = Array.from({ length: 1000 }, (_, index) => look(keys, `made up ${index}`));
      expect([new Set(await Promise.all(looked)), server.requests]).to.deep.equal([new Set([UNKNOWN]), 2]);
    });

    it("reads for unknown keys at most every ten seconds, and rejects none in between", async () => {
      const keys = await ready();
      expect([await look(keys, "a"), await look(keys, "b"), server.requests]).to.deep.equal([
        UNKNOWN,
        "KEYS_UNAVAILABLE",
        2,
      ]);
      clock.advance(UNKNOWN_KEY_RELOAD_MS - 1);
      expect([await look(keys, "c"), server.requests]).to.deep.equal(["KEYS_UNAVAILABLE", 2]);
      clock.advance(1);
      expect([await look(keys, "d"), server.requests]).to.deep.equal([UNKNOWN, 3]);
    });

    it("reports when the next read is allowed", async () => {
      const keys = await ready();
      await look(keys, "a");
      clock.advance(1234);
      expect(await waitFor(keys, "b")).to.equal(UNKNOWN_KEY_RELOAD_MS - 1234);
    });

    it("does not rely on a read that began before the token arrived", async () => {
      const answers: (() => void)[] = [];
      let body = keySetOf(old);
      const url = await listen((_, response) => {
        const current = body;
        answers.push(() => void response.end(current));
      });
      const asked = (count: number) =>
        until(() => answers.length === count, { withinMs: 5000, what: "it is asked" });
      const keys = start({ kind: "url", url });
      await asked(1);
      body = keySetOf(next);
      const token = look(keys, "next");
      answers[0]?.();
      await asked(2);
      answers[1]?.();
      expect(await token).to.equal("public");
    });

    it("rejects a signature only by keys that were read after the token arrived", async () => {
      const keys = await ready();
      let tries = 0;
      const attempt = () =>
        keys.verifyWith(async () => {
          tries++;
          throw new errors.JWSSignatureVerificationFailed();
        });
      const WRONG = "ERR_JWS_SIGNATURE_VERIFICATION_FAILED";
      expect(await rejection(attempt())).to.include({ code: WRONG });
      expect([tries, server.requests]).to.deep.equal([1, 2]);
      server.body = keySetOf(old, next);
      clock.advance(UNKNOWN_KEY_RELOAD_MS);
      expect(await rejection(attempt())).to.include({ code: WRONG });
      expect([tries, server.requests]).to.deep.equal([3, 3]);
      expect(await rejection(attempt())).to.include({ reason: "KEYS_UNAVAILABLE" });
    });

    it("sends its provider the same number of requests with and without unknown keys", async () => {
      const keys = await ready();
      const before = server.requests;
      for (let second = 0; second < 600; second++) {
        await look(keys, `made up ${second}`);
        await pass(1000);
      }
      expect(server.requests - before).to.be.within(
        600_000 / KEYS_RELOAD_MS,
        600_000 / UNKNOWN_KEY_RELOAD_MS,
      );
    });

    it("measures the interval between reads by the monotonic clock", async () => {
      const keys = await ready();
      await look(keys, "a");
      clock.jumpTo(clock.now() + HOUR);
      await look(keys, "b");
      clock.jumpTo(clock.now() - 2 * HOUR);
      await look(keys, "c");
      expect(server.requests).to.equal(2);
    });

    it("notifies its listeners only if the keys have changed", async () => {
      const keys = start();
      const versions: number[] = [];
      keys.onChange(() => versions.push(keys.version));
      await idle();
      await pass(KEYS_RELOAD_MS);
      server.body = keySetOf(old, next);
      await pass(KEYS_RELOAD_MS);
      server.status = 500;
      await pass(KEYS_RELOAD_MS);
      server.status = 200;
      await pass(KEYS_RELOAD_MS);
      expect([versions, server.requests]).to.deep.equal([[1, 2], 5]);
    });

    it("reports KEYS_UNAVAILABLE while no key is published", async () => {
      server.body = '{"keys":[]}';
      const keys = await ready();
      expect([await look(keys, "old"), keys.isUnreadable]).to.deep.equal(["KEYS_UNAVAILABLE", true]);
      expect(log.records()[0]).to.include({ problem: "the key set is empty", kept: false });
    });

    it("uses the supported keys of a mixed set, and logs the unusable ones", async () => {
      const others = [{ kty: "oct", kid: "oct", k: CANARY }, { kty: CANARY, kid: "new" }, {}, null];
      const encryption = { ...next.publicJwk, kid: "enc", use: "enc" };
      server.body = JSON.stringify({ keys: [...others, encryption, old.publicJwk] });
      const keys = await ready();
      expect([
        await look(keys, "old"),
        await look(keys, "oct"),
        await look(keys, "new"),
        await look(keys, "enc"),
      ]).to.deep.equal(["public", "KEYS_UNAVAILABLE", "KEYS_UNAVAILABLE", UNKNOWN]);
      expect(keys.isUnreadable).to.equal(false);
      expect(log.records().slice(0, 2)).to.deep.equal([
        { level: "info", keys: "callers", count: 1, msg: "read the key set" },
        {
          ...{ level: "warn", keys: "callers", msg: "the key set has keys that cannot be used" },
          problem:
            "key 1 is a shared secret, which must not be published; key 2 has a kty that is not supported; key 3 has no kty; key 4 is not a JSON object",
        },
      ]);
    });

    it("explains to the caller why the token's key is unusable", async () => {
      const { publicKey } = generateKeyPairSync("rsa", { modulusLength: 1024 });
      const short = { ...publicKey.export({ format: "jwk" }), kid: "short" };
      server.body = JSON.stringify({ keys: [short, old.publicJwk] });
      const keys = await ready();
      const find = () => keys.verifyWith((find) => find({ alg: "RS256", kid: "short" }, NO_TOKEN));
      expect(((await rejection(find())) as Error).message).to.equal(
        "the keys to verify tokens are unavailable: the key that the token names is an RSA key of 1024 bits, and must have at least 2048",
      );
    });
  });

  describe("while its provider is unavailable", () => {
    it("keeps using the known keys for an hour, and does not reject unknown ones", async () => {
      const keys = await ready();
      await server.stop();
      closing = [];
      for (let passed = 0; passed < HOUR; passed += KEYS_RELOAD_MS) {
        await pass(KEYS_RELOAD_MS);
        expect([await look(keys, "old"), await look(keys, "next")]).to.deep.equal([
          "public",
          "KEYS_UNAVAILABLE",
        ]);
        await idle();
      }
      expect(keys.version).to.equal(1);
      const problems = log.records().flatMap(({ problem }) => problem ?? []);
      expect([problems.length > 2, problems]).to.deep.equal([false, [...new Set(problems)]]);
    });

    it("logs the failure once, and its end once", async () => {
      const keys = await ready();
      server.status = 503;
      for (let times = 0; times < 3; times++) await pass(KEYS_RELOAD_MS);
      server.status = 200;
      await pass(KEYS_RELOAD_MS);
      expect(await look(keys, "made up")).to.equal(UNKNOWN);
      expect(
        log.records().map(({ msg, keys, problem, kept, count }) => ({ msg, keys, problem, kept, count })),
      ).to.deep.equal([
        { msg: "read the key set", keys: "callers", problem: undefined, kept: undefined, count: 1 },
        {
          msg: "the key set cannot be read",
          keys: "callers",
          problem: "the response was HTTP 503",
          kept: true,
          count: undefined,
        },
        {
          msg: "the key set can be read again",
          keys: "callers",
          problem: undefined,
          kept: undefined,
          count: undefined,
        },
      ]);
    });

    it("does not read more often for unknown keys", async () => {
      const keys = await ready();
      server.status = 503;
      const looked = Array.from({ length: 1000 }, (_, index) => look(keys, `made up ${index}`));
      expect(new Set(await Promise.all(looked))).to.deep.equal(new Set(["KEYS_UNAVAILABLE"]));
      expect([await look(keys, "one more"), server.requests]).to.deep.equal(["KEYS_UNAVAILABLE", 2]);
    });

    it("reports KEYS_UNAVAILABLE before the first read, and retries every second", async () => {
      server.status = 503;
      const keys = start();
      expect(await look(keys, "old")).to.equal("KEYS_UNAVAILABLE");
      for (const requests of [2, 3, 4]) {
        await idle();
        clock.advance(KEYS_RETRY_MS - 1);
        expect([await look(keys, "old"), server.requests]).to.deep.equal(["KEYS_UNAVAILABLE", requests - 1]);
        clock.advance(1);
        expect([await look(keys, "old"), server.requests]).to.deep.equal(["KEYS_UNAVAILABLE", requests]);
      }
      server.status = 200;
      await idle();
      clock.advance(KEYS_RETRY_MS);
      expect([await look(keys, "old"), keys.version]).to.deep.equal(["public", 1]);
      await idle();
      clock.advance(KEYS_RELOAD_MS - 1);
      expect([clock.pendingTimers, server.requests]).to.deep.equal([1, 5]);
    });

    it("times out a provider that sends nothing or never ends", async function () {
      this.slow(3 * KEYS_TIMEOUT_MS);
      const silent = await listen(() => {});
      const endless = await listen((_, response) => {
        response.writeHead(200).write('{"keys":[');
      });
      for (const url of [silent, endless]) start({ kind: "url", url });
      const started = performance.now();
      await until(() => clock.pendingTimers === 2, {
        withinMs: 3 * KEYS_TIMEOUT_MS,
        what: "both were given up",
      });
      expect(performance.now() - started).to.be.within(KEYS_TIMEOUT_MS - 100, 2 * KEYS_TIMEOUT_MS);
      expect(new Set(log.records().map(({ problem }) => problem))).to.deep.equal(
        new Set(["there was no response (TimeoutError)"]),
      );
    });
  });

  describe("keeps its keys", () => {
    const NO_JSON = "the key set is not JSON";
    const NO_KEYS = "the content is not a JSON Web Key Set";
    const UNUSABLE = "the key set has no usable key";
    const BODIES: readonly [what: string, body: string, problem: string][] = [
      ["nothing", "", `${NO_JSON}: it is empty`],
      ["a page of HTML", `<html>${CANARY}</html>`, `${NO_JSON}: it is a page of HTML or XML`],
      ["PEM", "-----BEGIN PUBLIC KEY-----", `${NO_JSON}: it is PEM: convert it to a JSON Web Key Set`],
      ["half a key set", `{"keys":[{"kid":"${CANARY}"`, NO_JSON],
      ["null", "null", NO_KEYS],
      ["a list", `["${CANARY}"]`, `${NO_KEYS}: it is a list: wrap it in an object, {"keys": [...]}`],
      ["an object without keys", `{"error":"${CANARY}"}`, NO_KEYS],
      [
        "a discovery document",
        `{"issuer":"${CANARY}","jwks_uri":"${CANARY}"}`,
        `${NO_KEYS}: it is the provider's discovery document: use its jwks_uri`,
      ],
      [
        "a single key",
        `{"kty":"EC","kid":"${CANARY}"}`,
        `${NO_KEYS}: it is a single key: wrap it in a set, {"keys": [...]}`,
      ],
      [
        "certificates",
        `{"${CANARY}":"-----BEGIN CERTIFICATE-----"}`,
        `${NO_KEYS}: it contains certificates or keys in PEM`,
      ],
      ["keys that are no list", `{"keys":{"a":"${CANARY}"}}`, NO_KEYS],
      ["keys that are not objects", `{"keys":["${CANARY}"]}`, `${UNUSABLE}: key 1 is not a JSON object`],
      ["a key that is null", '{"keys":[null]}', `${UNUSABLE}: key 1 is not a JSON object`],
      ["no key at all", '{"keys":[]}', "the key set is empty"],
      [
        "keys for encryption alone",
        `{"keys":[{"kty":"RSA","use":"enc","kid":"${CANARY}"}]}`,
        `${UNUSABLE}: no key is for signatures`,
      ],
      [
        "a key that is cut short",
        `{"keys":[{"kty":"EC","crv":"P-256","x":"AAAA","y":"AAAA","kid":"${CANARY}"}]}`,
        `${UNUSABLE}: key 1 has parameters that do not form a public key`,
      ],
      [
        "too many keys",
        JSON.stringify({ keys: Array(MAX_KEYS + 1).fill({}) }),
        `the key set has more than ${MAX_KEYS} keys`,
      ],
      [
        "a private key",
        `{"keys":[{"kty":"EC","crv":"P-256","x":"AAAA","y":"AAAA","d":"${CANARY}"}]}`,
        `${UNUSABLE}: key 1 contains a private key, which must not be published`,
      ],
    ];
    for (const [what, body, problem] of BODIES) {
      it(`if the provider publishes ${what}`, () => keeps({ body }, problem));
    }

    for (const status of [400, 401, 404, 500, 502, 503]) {
      it(`if the response is HTTP ${status}, with any body`, () =>
        keeps({ status, body: keySetOf(next) }, `the response was HTTP ${status}`));
    }

    it("if the key set is larger than the limit", async () => {
      await keeps(
        { body: keySetOf(next).padEnd(MAX_KEYS_BYTES + 1) },
        `the response is longer than ${MAX_KEYS_BYTES} bytes`,
      );
      server.body = keySetOf(next).padEnd(MAX_KEYS_BYTES);
      await pass(KEYS_RELOAD_MS);
      expect(await look(opened[0] as JwksCache, "next")).to.equal("public");
    });

    async function keeps(answer: { body?: string; status?: number }, problem: string): Promise<void> {
      const keys = await ready();
      Object.assign(server, answer);
      await pass(KEYS_RELOAD_MS);
      expect([
        server.requests,
        keys.version,
        await look(keys, "old"),
        await look(keys, "next"),
        keys.isUnreadable,
      ]).to.deep.equal([...[2, 1, "public", "KEYS_UNAVAILABLE", true]]);
      expect(log.records().map((record) => record.problem)).to.deep.equal([undefined, problem]);
      expect(log.records()[1]).to.include({ level: "error", kept: true, msg: "the key set cannot be read" });
      expect(log.lines.join("")).not.to.include(CANARY);
      await idle();
      Object.assign(server, { status: 200, body: keySetOf(next) });
      await pass(KEYS_RELOAD_MS);
      expect([await look(keys, "next"), keys.version, keys.isUnreadable]).to.deep.equal(["public", 2, false]);
    }
  });

  it("does not follow redirects, because the operator decides which address is trusted", async () => {
    const elsewhere = await KeyServer.start(next);
    closing.push(() => elsewhere.stop());
    for (const status of [301, 302, 303, 307, 308]) {
      const url = await listen((_, response) =>
        response.writeHead(status, { location: elsewhere.url }).end(),
      );
      expect(await look(start({ kind: "url", url }), "next"), String(status)).to.equal("KEYS_UNAVAILABLE");
    }
    expect(elsewhere.requests).to.equal(0);
    expect(log.records().map(({ problem }) => problem)).to.include(
      "the response was HTTP 302: redirects are not followed: configure the address of the key set itself",
    );
  });

  describe("from a file", () => {
    let path: string;

    beforeEach(async () => {
      path = join(await freshFolder(), CANARY);
      await writeFile(path, keySetOf(old));
    });

    it("reads its keys, and later changes", async () => {
      const keys = await ready({ kind: "file", path });
      expect(await look(keys, "old")).to.equal("public");
      await writeFile(path, keySetOf(next));
      await pass(60_000);
      expect([await look(keys, "next"), await look(keys, "old")]).to.deep.equal(["public", UNKNOWN]);
    });

    it("reads it at once for a token with a key that was just added", async () => {
      const keys = await ready({ kind: "file", path });
      await writeFile(path, keySetOf(old, next));
      expect(await look(keys, "next")).to.equal("public");
    });

    it("keeps the known keys if the file is missing or damaged, and logs only the reason", async () => {
      const keys = await ready({ kind: "file", path });
      await writeFile(path, `{"keys":[{"kid":"${CANARY}`);
      await pass(KEYS_RELOAD_MS);
      await rm(path);
      await pass(KEYS_RELOAD_MS);
      expect([await look(keys, "old"), await look(keys, "next")]).to.deep.equal([
        "public",
        "KEYS_UNAVAILABLE",
      ]);
      expect(log.records().map(({ problem }) => problem)).to.deep.equal([
        undefined,
        "the key set is not JSON",
        "the file cannot be read (ENOENT)",
      ]);
      expect(log.lines.join("")).not.to.include(CANARY);
    });

    it("reads it for each token that fits no key, without a rate limit", async () => {
      const keys = await ready({ kind: "file", path });
      expect([await look(keys, "a"), await look(keys, "b")]).to.deep.equal([UNKNOWN, UNKNOWN]);
      await writeFile(path, keySetOf(next));
      expect([await look(keys, "next"), await look(keys, "old")]).to.deep.equal(["public", UNKNOWN]);
    });

    it("ignores a byte order mark, and reports another encoding", async () => {
      await writeFile(path, `\uFEFF${keySetOf(old)}`);
      const keys = await ready({ kind: "file", path });
      expect(await look(keys, "old")).to.equal("public");
      await writeFile(path, `\uFEFF${keySetOf(old)}`, "utf16le");
      await pass(KEYS_RELOAD_MS);
      expect(log.records().at(-1)).to.include({ problem: "the key set is UTF-16, and must be UTF-8" });
      expect(await look(keys, "old")).to.equal("public");
    });

    it("waits for a file that does not exist yet", async () => {
      await rm(path);
      const keys = await ready({ kind: "file", path });
      expect(await look(keys, "old")).to.equal("KEYS_UNAVAILABLE");
      await writeFile(path, keySetOf(old));
      await pass(KEYS_RETRY_MS);
      expect(await look(keys, "old")).to.equal("public");
    });
  });

  it("logs neither the address nor the content", async () => {
    const key = await createSigningKey(CANARY);
    const published = await KeyServer.start(key);
    closing.push(() => published.stop());
    const gone = await KeyServer.start();
    const urls = [
      `${published.url}/${CANARY}?token=${CANARY}#${CANARY}`,
      `${gone.url}/${CANARY}?token=${CANARY}`,
      `http://127.0.0.1:1/${CANARY}`,
      `http://[::1]:1/${CANARY}`,
      await listen((_, response) => response.writeHead(302, CANARY, { location: `/${CANARY}` }).end()),
      await listen((_, response) => response.writeHead(500, CANARY, { "x-error": CANARY }).end(CANARY)),
      await listen((_, response) => response.writeHead(200, { "content-encoding": "gzip" }).end(CANARY)),
      await listen((request) => request.socket.end(`${CANARY}\r\n\r\n`)),
      await listen((request) => request.socket.destroy()),
    ];
    await gone.stop();
    for (const url of urls) await look(start({ kind: "url", url }), CANARY);
    await until(() => clock.pendingTimers === urls.length, { withinMs: 10_000, what: "all were read" });
    expect(log.lines).to.have.length(urls.length);
    expect(log.lines.join("")).not.to.match(/c4n4ry|127\.0\.0\.1|::1|http:/);
  });

  it("stops reading after stop(), even during a read", async () => {
    const keys = await ready();
    keys.stop();
    expect(clock.pendingTimers).to.equal(0);
    clock.advance(HOUR);
    expect(server.requests).to.equal(1);
    const late = start();
    late.stop();
    expect([await look(late, "old"), clock.pendingTimers]).to.deep.equal(["public", 0]);
  });

  async function listen(answer: RequestListener): Promise<string> {
    const listener = createServer(answer);
    closing.push(
      () =>
        new Promise((resolve) => {
          listener.closeAllConnections();
          listener.close(() => resolve());
        }),
    );
    await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(listener.address() as AddressInfo).port}/${CANARY}`;
  }
});
