import { expect } from "chai";
import type { JWTPayload } from "jose";
import {
  BlacklistRequestSchema,
  IsBlacklistedRequestSchema,
  ListRequestSchema,
  PruneRequestSchema,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { ROLES } from "../../src/caller.ts";
import { Asker } from "../support/asker.ts";
import { connectOverTls } from "../support/callers.ts";
import { type CertificateAndKey, createAuthority } from "../support/certificates.ts";
import { CHECK_PATH, checkRequest } from "../support/envoy-check.ts";
import { createSigningKey, keySetOf } from "../support/issuer.ts";
import { RawCalls } from "../support/raw-calls.ts";
import { bytesOf, methodPath, type RawChannel } from "../support/raw-channel.ts";
import { ReloadingClock } from "../support/reloading-clock.ts";
import { YEAR_2100 } from "../support/revoke.ts";
import { scrape } from "../support/scrape.ts";
import { SecuredFiles } from "../support/secured-files.ts";
import { type RunningService, type ServiceOptions, startService } from "../support/service.ts";
import { ends } from "../support/stream-end.ts";
import { until } from "../support/until.ts";
import { startMessage, WATCH_PATH, Watcher } from "../support/watcher.ts";

const MINUTE_MS = 60_000;
/** The service's default deadline would pass when the clock triggers the reload. */
const TIMEOUT = ["grpc-timeout", "20S"] as const;

describe("admitted callers", () => {
  let files: SecuredFiles;
  let clock: ReloadingClock;
  let running: RunningService;
  const closing: { close(): void }[] = [];

  beforeEach(async () => {
    files = await SecuredFiles.create();
    clock = new ReloadingClock();
    await files.write("roles", `DNS:operator.test=${ROLES.join(",")}\nDNS:carrier.test=none\n`);
  });

  afterEach(async () => {
    for (const one of closing.splice(0)) one.close();
    await running?.stop();
  });

  const ENV = () => ({
    ...files.env,
    EXT_AUTHZ: "on",
    TLS_CLIENT_ROLES_FILE: files.file("roles"),
    INDEX: "on",
  });

  async function serve(options: Partial<ServiceOptions> = {}): Promise<void> {
    running = await startService({
      url: `sqlite:${files.file("token-blacklist.db")}`,
      clock,
      env: ENV(),
      ...options,
    });
    await running.indexLoaded();
  }

  const issue = (name: string) => files.authority.issue([{ type: "dns", value: name }]);

  function connect(own?: CertificateAndKey): RawChannel {
    const channel = connectOverTls(running.address, files.authority, own);
    closing.push(channel);
    return channel;
  }

  /** A token that expires in a minute by the service's clock. */
  async function bearer(claims: JWTPayload = {}): Promise<string> {
    const exp = Math.floor((clock.now() + MINUTE_MS) / 1000);
    return `Bearer ${await files.token({ exp, ...claims })}`;
  }

  async function watch(channel: RawChannel, authorization: readonly string[] = []): Promise<Watcher> {
    const watcher = new Watcher(channel, { authorization });
    watcher.stream.write(startMessage());
    await until(() => watcher.revision !== "", { withinMs: 5000, what: "the stream has begun" });
    return watcher;
  }

  async function ask(channel: RawChannel, authorization: readonly string[] = []): Promise<Asker> {
    const asker = new Asker(channel, { authorization });
    await asker.ask({ jtis: ["a"] });
    return asker;
  }

  const check = async (channel: RawChannel, authorization: readonly string[] = []) => {
    const bytes = bytesOf(IsBlacklistedRequestSchema, { jtis: ["a"] });
    return (await channel.call(methodPath("IsBlacklisted"), bytes, { authorization, timeoutMs: 5000 })).code;
  };

  describe("by a certificate", () => {
    it("lose their calls and streams with their role, and regain them with it", async () => {
      await serve();
      const channel = connect(await issue("operator.test"));
      const [watcher, asker] = [await watch(channel), await ask(channel)];
      await files.write("roles", "DNS:operator.test=list");
      clock.lookNow();
      expect([await watcher.ended, await asker.ended]).to.deep.equal(
        Array(2).fill(ends("PERMISSION_DENIED", "PERMISSION_DENIED")),
      );
      expect(await check(channel)).to.equal("PERMISSION_DENIED");
      await files.write("roles", "DNS:operator.test=check");
      clock.lookNow();
      expect(await check(channel)).to.equal("OK");
    });

    it("keep their streams while they keep the role, whatever else changes", async () => {
      await serve();
      const channel = connect(await issue("operator.test"));
      const [watcher, asker] = [await watch(channel), await ask(channel)];
      await files.write("roles", "DNS:operator.test=check DNS:other.test=list");
      clock.lookNow();
      await asker.ask({ jtis: ["a"] });
      expect(await watcher.sync()).to.equal("synced");
    });

    it("keep their roles while new roles cannot be used, which is logged once", async () => {
      await serve();
      const channel = connect(await issue("operator.test"));
      for (const [text, problem] of [
        ["DNS:operator.test=admin", /^must be pairs such as/],
        ["", /^is empty$/],
        ["DNS:a.test=check DNS:a.test=list", /twice/],
        ["DNS:a.test=check\u200b", /invisible/],
      ] as const) {
        await files.write("roles", text);
        for (let times = 0; times < 3; times++) clock.lookNow();
        expect(await check(channel)).to.equal("OK");
        const said = running.logs().filter(({ msg }) => /roles .* cannot be used/.test(String(msg)));
        expect(said.at(-1)?.problem).to.match(problem);
      }
      expect(running.logs().filter(({ msg }) => /roles .* cannot be used/.test(String(msg)))).to.have.length(
        4,
      );
    });

    it("that are carriers get new roles on their next connection", async () => {
      await serve();
      const own = await issue("carrier.test");
      const before = connect(own);
      expect(await check(before)).to.equal("UNAUTHENTICATED");
      await files.write("roles", "DNS:carrier.test=check");
      clock.lookNow();
      expect([await check(before), await check(connect(own))]).to.deep.equal(["UNAUTHENTICATED", "OK"]);
    });
  });

  describe("by a certificate that is no longer accepted", () => {
    async function serveWithLists(...revoked: readonly string[]): Promise<void> {
      await files.write(
        "crl",
        await files.authority.revoke(revoked, { validMs: [-MINUTE_MS, 60 * MINUTE_MS] }),
      );
      await serve({ env: { ...ENV(), TLS_CLIENT_CRL_FILE: files.file("crl") } });
    }
    const revokeNow = async (...revoked: readonly string[]) =>
      files.write("crl", await files.authority.revoke(revoked));
    const said = (text: RegExp) => running.logs().filter(({ msg }) => text.test(String(msg)));

    it("lose calls, streams and connection with its CA, and are admitted with the new CA", async () => {
      await serve();
      const own = await issue("operator.test");
      const channel = connect(own);
      const [watcher, asker] = [await watch(channel), await ask(channel)];
      const token = await bearer();
      const carried = connect(await issue("carrier.test"));
      const throughCarrier = await watch(carried, [token]);
      const others = await createAuthority("others");
      await files.write("ca.pem", others.certificate);
      clock.lookNow();
      expect([await watcher.ended, await asker.ended, await throughCarrier.ended]).to.deep.equal(
        Array(3).fill(ends("UNAUTHENTICATED", "UNAUTHENTICATED")),
      );
      expect([await check(channel), await check(carried, [token])]).to.deep.equal(
        Array(2).fill("UNAUTHENTICATED"),
      );
      expect(said(/no longer accepted/).map(({ problem }) => problem)).to.deep.equal(
        Array(2).fill("no CA in TLS_CLIENT_CA_FILE is its issuer"),
      );
      expect(await check(connect(own))).to.equal("UNAVAILABLE");
      const theirs = await others.issue([{ type: "dns", value: "operator.test" }]);
      expect(await check(connect(theirs))).to.equal("OK");
      // Callers without a certificate are not affected.
      expect(await check(connect(), [token])).to.equal("OK");
    });

    it("keep everything while their CA stays, whatever is added", async () => {
      await serve();
      const channel = connect(await issue("operator.test"));
      const watcher = await watch(channel);
      await files.write(
        "ca.pem",
        `${(await createAuthority("others")).certificate}\n${files.authority.certificate}`,
      );
      clock.lookNow();
      expect(said(/took over new TLS/)).to.have.length(1);
      expect([await check(channel), await watcher.sync()]).to.deep.equal(["OK", "synced"]);
    });

    it("lose calls, streams and connection once it is in a revocation list", async () => {
      await serveWithLists();
      const [own, other] = [await issue("operator.test"), await issue("operator.test")];
      const [channel, untouched] = [connect(own), connect(other)];
      const [watcher, asker, theirs] = [await watch(channel), await ask(channel), await watch(untouched)];
      await revokeNow(own.certificate);
      clock.lookNow();
      expect([await watcher.ended, await asker.ended]).to.deep.equal(
        Array(2).fill(ends("UNAUTHENTICATED", "UNAUTHENTICATED")),
      );
      expect(await check(channel)).to.equal("UNAUTHENTICATED");
      expect(await check(connect(own))).to.equal("UNAVAILABLE");
      expect([await check(untouched), await theirs.sync()]).to.deep.equal(["OK", "synced"]);
      expect(said(/no longer accepted/).map(({ problem }) => problem)).to.deep.equal(["it has been revoked"]);
    });

    it("lose a call whose message arrives after its revocation", async () => {
      await serveWithLists();
      const own = await issue("carrier.test");
      const calls = await RawCalls.open(running.address, { ca: files.authority.certificate, own });
      closing.push(calls);
      const fields = [["authorization", await bearer()], TIMEOUT] as const;
      const { code } = await calls.call(methodPath("Prune"), fields, new Uint8Array(), {
        beforeBody: async () => {
          await calls.call(methodPath("List"), fields, new Uint8Array());
          await revokeNow(own.certificate);
          clock.lookNow();
        },
      });
      expect(code).to.equal("UNAUTHENTICATED");
    });

    it("are refused with any chain if an intermediate CA was revoked", async () => {
      const between = await files.authority.subordinate("between");
      await files.write("ca.pem", `${files.authority.certificate}\n${between.certificate}`);
      const none = await between.revoke([]);
      await files.write(
        "crl",
        `${await files.authority.revoke([], { validMs: [-MINUTE_MS, 60 * MINUTE_MS] })}
${none}`,
      );
      await serve({ env: { ...ENV(), TLS_CLIENT_CRL_FILE: files.file("crl") } });
      const own = await between.issue([{ type: "dns", value: "operator.test" }]);
      const chained = { ...own, certificate: `${own.certificate}\n${between.certificate}` };
      const channel = connect(chained);
      const watcher = await watch(channel);
      await files.write("crl", `${await files.authority.revoke([between.certificate])}\n${none}`);
      clock.lookNow();
      expect(await watcher.ended).to.deep.equal(ends("UNAUTHENTICATED", "UNAUTHENTICATED"));
      expect([await check(channel), await check(connect(chained))]).to.deep.equal([
        "UNAUTHENTICATED",
        "UNAVAILABLE",
      ]);
    });

    it("are all refused when the revocation list has expired, and admitted with the next one", async () => {
      await serveWithLists();
      const own = await files.authority.issue([{ type: "dns", value: "operator.test" }], {
        validMs: [-MINUTE_MS, 300 * MINUTE_MS],
      });
      const channel = connect(own);
      const watcher = await watch(channel);
      clock.skip(90 * MINUTE_MS);
      clock.lookNow();
      expect(await watcher.ended).to.deep.equal(ends("UNAUTHENTICATED", "UNAUTHENTICATED"));
      expect(said(/no longer accepted/).map(({ problem }) => problem)).to.deep.equal([
        "the revocation list of its CA has expired or is not valid yet",
      ]);
      expect(await check(connect(), [await bearer()])).to.equal("OK");
      await files.write("crl", await files.authority.revoke([], { validMs: [0, 180 * MINUTE_MS] }));
      clock.lookNow();
      expect(await check(connect(own))).to.equal("OK");
    });

    it("are refused from the start with an expired list, unlike callers with tokens", async () => {
      await files.write("crl", await files.authority.revoke([], { validMs: [-60 * MINUTE_MS, -MINUTE_MS] }));
      await serve({ env: { ...ENV(), TLS_CLIENT_CRL_FILE: files.file("crl") } });
      const [by, without] = [connect(await issue("operator.test")), connect()];
      expect([await check(by), await check(without, [await bearer()])]).to.deep.equal(["UNAVAILABLE", "OK"]);
      expect(
        said(/^a certificate has expired$/).map(({ certificate, setting }) => [certificate, setting]),
      ).to.deep.equal([["client-crl", "TLS_CLIENT_CRL_FILE"]]);
      expect(said(/refused a client's certificate/).map(({ problem }) => problem)).to.include(
        "CRL_HAS_EXPIRED",
      );
    });

    it("lose their calls when it expires on an open connection", async () => {
      await serve();
      const channel = connect(await issue("operator.test"));
      expect(await check(channel)).to.equal("OK");
      clock.skip(60 * MINUTE_MS);
      expect(await check(channel)).to.equal("UNAUTHENTICATED");
    });

    it("stay refused while a new list cannot be used: the last valid one applies, which log and metric report", async () => {
      const own = await issue("operator.test");
      await serveWithLists(own.certificate);
      const rejected = async () =>
        (await scrape(running.adminUrl))
          .get("tokenblacklist_tls_files_rejected")
          ?.series.map(({ labels, value }) => [labels.files, value]);
      const CASES: readonly (readonly [text: string, problem: RegExp])[] = [
        ["", /must name a file that contains only revocation lists in PEM/],
        ["-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", /number 1 cannot be used/],
        [
          await (await createAuthority("strangers")).revoke([]),
          /no revocation list signed by certificate number 1/,
        ],
        [
          await files.authority.revoke([], { validMs: [-60 * MINUTE_MS, 60 * MINUTE_MS] }),
          /older than the one in use/,
        ],
        [await files.authority.revoke([], { validMs: [-MINUTE_MS / 2, -1000] }), /has expired/],
      ];
      for (const [text, problem] of CASES) {
        await files.write("crl", text);
        for (let times = 0; times < 2; times++) clock.lookNow();
        const errors = said(/new TLS certificates cannot be used/);
        expect(errors.at(-1)).to.include({ files: "clients" });
        expect(errors.at(-1)?.problem).to.match(problem);
        expect(await rejected()).to.deep.equal([
          ["server", 0],
          ["clients", 1],
          ["client-roles", 0],
        ]);
        expect(await check(connect(own))).to.equal("UNAVAILABLE");
      }
      expect(said(/new TLS certificates cannot be used/)).to.have.length(CASES.length);
      await revokeNow();
      clock.lookNow();
      expect(await rejected()).to.deep.include(["clients", 0]);
      expect(await check(connect(own))).to.equal("OK");
    });

    it("stay refused although the service's own certificate cannot be replaced at the time", async () => {
      await serveWithLists();
      const own = await issue("operator.test");
      const channel = connect(own);
      expect(await check(channel)).to.equal("OK");
      await files.write("key.pem", (await issue("localhost")).key);
      await revokeNow(own.certificate);
      clock.lookNow();
      expect(await check(channel)).to.equal("UNAUTHENTICATED");
    });
  });

  describe("by a token", () => {
    it("lose their calls and streams with its key", async () => {
      await serve();
      const channel = connect();
      const token = await bearer();
      const [watcher, asker] = [await watch(channel, [token]), await ask(channel, [token])];
      const carried = connect(await issue("operator.test"));
      const throughOther = await watch(carried, [token]);
      await files.write("keys.json", keySetOf(await createSigningKey("k2")));
      clock.lookNow();
      expect([await watcher.ended, await asker.ended, await throughOther.ended]).to.deep.equal(
        Array(3).fill(ends("UNAUTHENTICATED", "UNAUTHENTICATED")),
      );
      expect(await check(channel, [token])).to.equal("UNAUTHENTICATED");
    });

    it("keep their streams while its key stays, even after its expiry", async () => {
      await serve();
      const channel = connect();
      const watcher = await watch(channel, [await bearer()]);
      clock.skip(2 * MINUTE_MS);
      await files.write("keys.json", keySetOf(files.key, await createSigningKey("k2")));
      clock.lookNow();
      await until(() => running.logs().filter(({ msg }) => msg === "read the key set").length === 2, {
        withinMs: 5000,
        what: "the keys are read",
      });
      expect(await watcher.sync()).to.equal("synced");
    });
  });

  describe("while a message arrives", () => {
    const MESSAGES: readonly (readonly [path: string, bytes: Uint8Array])[] = [
      [methodPath("IsBlacklisted"), bytesOf(IsBlacklistedRequestSchema, { jtis: ["a"] })],
      [
        methodPath("Blacklist"),
        bytesOf(BlacklistRequestSchema, {
          tokens: [{ token: { case: "jti", value: "b" }, expiresAt: YEAR_2100 }],
        }),
      ],
      [methodPath("List"), bytesOf(ListRequestSchema, {})],
      [methodPath("Prune"), bytesOf(PruneRequestSchema, {})],
      [CHECK_PATH, checkRequest({})],
      [WATCH_PATH, startMessage()],
    ];

    const EVENTS: Record<string, (jti: string) => Promise<unknown>> = {
      "their token expires": async () => clock.skip(2 * MINUTE_MS),
      "their token is revoked": async (jti) => {
        const tokens = [{ token: { case: "jti" as const, value: jti }, expiresAt: YEAR_2100 }];
        const answer = await connect(await issue("operator.test")).call(
          methodPath("Blacklist"),
          bytesOf(BlacklistRequestSchema, { tokens }),
        );
        expect(answer.code).to.equal("OK");
      },
      "the key of their token is withdrawn": async () => {
        await files.write("keys.json", keySetOf(await createSigningKey("k2")));
        clock.lookNow();
        await until(() => running.logs().filter(({ msg }) => msg === "read the key set").length > 1, {
          withinMs: 5000,
          what: "the keys are read",
        });
      },
    };
    for (const [name, happens] of Object.entries(EVENTS)) {
      it(`are refused when ${name}, by every method`, async () => {
        for (const [path, bytes] of MESSAGES) {
          await files.write("keys.json", keySetOf(files.key));
          await serve();
          const calls = await RawCalls.open(running.address, { ca: files.authority.certificate });
          closing.push(calls);
          const authorization = await bearer({ jti: `own-${path}` });
          const fields = [["authorization", authorization], TIMEOUT] as const;
          const answer = await calls.call(path, fields, bytes, {
            // The headers have been processed once a later call on the connection has a response.
            beforeBody: async () => {
              await calls.call(methodPath("List"), [["authorization", authorization]], new Uint8Array());
              await happens(`own-${path}`);
            },
          });
          expect([path, answer.code]).to.deep.equal([path, "UNAUTHENTICATED"]);
          calls.close();
          await running.stop();
        }
      });
    }

    it("are refused if their certificate loses its role", async () => {
      await serve();
      const own = await issue("operator.test");
      const calls = await RawCalls.open(running.address, { ca: files.authority.certificate, own });
      closing.push(calls);
      const [path, bytes] = MESSAGES[0] as (typeof MESSAGES)[number];
      const answer = await calls.call(path, [TIMEOUT], bytes, {
        beforeBody: async () => {
          await calls.call(methodPath("List"), [], new Uint8Array());
          await files.write("roles", "DNS:operator.test=list");
          clock.lookNow();
        },
      });
      expect(answer.code).to.equal("PERMISSION_DENIED");
    });
  });
});
