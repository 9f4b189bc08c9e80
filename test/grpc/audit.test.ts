import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { expect } from "chai";
import { BlacklistRequestSchema, TokenBlacklist } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { Admission } from "../../src/admission/admission.ts";
import { type Principal, UNRESTRICTED_PRINCIPAL } from "../../src/caller.ts";
import { ServiceError, storeUnavailable, unauthenticated } from "../../src/errors.ts";
import { AUDITED_TOKENS_PER_LINE } from "../../src/grpc/audit.ts";
import { authenticatedMethod } from "../../src/grpc/authenticated-service.ts";
import { IncomingCalls } from "../../src/grpc/incoming-call.ts";
import { TOKEN_BLACKLIST_RULES } from "../../src/grpc/methods.ts";
import { serveUnary } from "../../src/grpc/unary-call.ts";
import { LOGGED_REFUSALS, LogSampling } from "../../src/logging/log-sampling.ts";
import { methodDefinition, serviceDefinition } from "../../src/protobuf/service-definition.ts";
import { backends, type FreshDatabase } from "../support/backends.ts";
import { callEnvironment } from "../support/call-environment.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { memoryLog } from "../support/memory-log.ts";
import { methodPath, RawChannel } from "../support/raw-channel.ts";
import { rejection } from "../support/rejection.ts";
import { type RunningService, startService } from "../support/service.ts";
import { until } from "../support/until.ts";

const HOUR_MS = 3_600_000;
const later = () => timestampFromMs(Date.now() + HOUR_MS);
const token = (value: string, reason = "") => ({
  token: { case: "jti" as const, value },
  expiresAt: later(),
  reason,
});

describe("the audit log", () => {
  const [backend] = backends;
  let database: FreshDatabase;
  let running: RunningService;

  beforeEach(async () => {
    database = (await backend?.create()) as FreshDatabase;
  });

  afterEach(async () => {
    await running?.stop();
    await database?.dispose();
  });

  async function serve(env: Record<string, string> = {}): Promise<RunningService> {
    running = await startService({ url: database.url, env });
    return running;
  }

  function lines(): object[] {
    return running
      .logs()
      .filter(({ msg }) => msg === "audit")
      .map(({ peer, ...rest }) => {
        expect(peer).to.match(/^127\.0\.0\.1:\d+$/);
        return rest;
      });
  }

  const common = { level: "info", caller: "", msg: "audit" };

  it("has a line for each Blacklist, with the tokens, their expiries and reasons, and their outcomes", async () => {
    const { client } = await serve();
    const [first, later] = [Date.now() + HOUR_MS, Date.now() + 2 * HOUR_MS];
    const asked = (value: string, at: number, reason: string) => ({
      ...{ token: { case: "jti" as const, value }, expiresAt: timestampFromMs(at) },
      reason,
    });
    await client.blacklist({ tokens: [asked("a", first, "stolen laptop")] });
    await client.blacklist({ tokens: [asked("a", later, "left the company"), asked("b", first, "")] });
    await client.blacklist({ tokens: [asked("a", first, "once more")] });
    const line = { ...common, method: "Blacklist", code: "OK" };
    const audited = (jti: string, outcome: string, at: number, reason?: string) => ({
      ...{ jti, outcome, expires_at: new Date(at).toISOString() },
      ...(reason === undefined ? {} : { reason }),
    });
    expect(lines()).to.deep.equal([
      {
        ...{ ...line, count: 1, outcomes: { created: 1 } },
        tokens: [audited("a", "created", first, "stolen laptop")],
      },
      {
        ...{ ...line, count: 2, outcomes: { extended: 1, created: 1 } },
        tokens: [audited("a", "extended", later, "left the company"), audited("b", "created", first)],
      },
      {
        ...{ ...line, count: 1, outcomes: { already_blacklisted: 1 } },
        // The requested expiry, not the later one that the entry keeps.
        tokens: [audited("a", "already_blacklisted", first, "once more")],
      },
    ]);
  });

  it("lists every token of a large request, over several lines", async () => {
    const { client } = await serve();
    await client.blacklist({ tokens: Array.from({ length: 120 }, (_, index) => token(`t${index}`)) });
    const parts = lines() as { part: number; parts: number; count: number; tokens: { jti: string }[] }[];
    expect(parts.map(({ part, parts, count, tokens }) => [part, parts, count, tokens.length])).to.deep.equal([
      [1, 3, 120, AUDITED_TOKENS_PER_LINE],
      [2, 3, 120, AUDITED_TOKENS_PER_LINE],
      [3, 3, 120, 20],
    ]);
    expect(parts.flatMap(({ tokens }) => tokens.map(({ jti }) => jti))).to.deep.equal(
      Array.from({ length: 120 }, (_, index) => `t${index}`),
    );
  });

  it("contains no raw token, not even one in a reason", async () => {
    const { client } = await serve();
    const raw = `${Buffer.from('{"alg":"none"}').toString("base64url")}.e30.`;
    await client.blacklist({ tokens: [token("a", raw), token("b", `seen in a chat: ${raw}, reported`)] });
    expect(running.logText()).not.to.include(raw);
  });

  it("has a line for each Prune, including dry runs", async () => {
    const { client } = await serve();
    await client.prune({ maxCount: 10, dryRun: true, expiredBefore: timestampFromMs(0) });
    await client.prune({});
    const pruned = { ...common, method: "Prune", code: "OK", pruned_count: 0, has_more: false };
    expect(lines()).to.deep.equal([
      { ...pruned, max_count: 10, dry_run: true, expired_before: "1970-01-01T00:00:00.000Z" },
      { ...pruned, max_count: 0, dry_run: false },
    ]);
  });

  it("has only the code of refused requests, and nothing of their content", async () => {
    const { client } = await serve();
    await rejection(client.blacklist({ tokens: [token("c4n4ry"), token("")] }));
    await rejection(
      client.blacklist({ tokens: [{ token: { case: "jwt", value: "c4n4ry.c4n4ry.c4n4ry" } }] }),
    );
    const refused = { ...common, method: "Blacklist", code: "INVALID_ARGUMENT", reason: "INVALID_REQUEST" };
    expect(lines()).to.deep.equal([
      { ...refused, count: 2 },
      { ...refused, count: 1 },
    ]);
    expect(running.logText()).not.to.include("c4n4ry");
  });

  it("has no line for calls that change nothing", async () => {
    const { client } = await serve();
    await client.isBlacklisted({ jtis: ["a"] });
    await client.list({});
    expect(lines()).to.deep.equal([]);
  });

  it("is written at every log level, and can be turned off", async () => {
    await serve({ LOG_LEVEL: "silent" });
    await running.client.prune({});
    expect(lines()).to.have.length(1);
    await running.stop();
    await serve({ AUDIT_LOG: "off" });
    await running.client.prune({});
    expect(lines()).to.deep.equal([]);
    expect(running.logs().filter(({ msg }) => msg === "call")).to.have.length(1);
  });
});

describe("the audit log of failed calls", () => {
  const MANY = 100;
  const MESSAGE = toBinary(BlacklistRequestSchema, create(BlacklistRequestSchema, { tokens: [token("a")] }));
  let server: Server;
  let channel: RawChannel;
  let clock: FakeClock;
  let logSampling: LogSampling;
  let admission: Admission;
  let log: ReturnType<typeof memoryLog>;
  let authenticate: () => Principal | Promise<Principal>;
  let handle: () => Promise<never>;
  let handled: number;

  beforeEach(async () => {
    log = memoryLog();
    clock = new FakeClock();
    logSampling = new LogSampling(clock);
    admission = new Admission();
    handled = 0;
    authenticate = () => UNRESTRICTED_PRINCIPAL;
    const environment = callEnvironment({
      log: log.log,
      auditLog: log.log,
      logSampling,
      authenticate: () => authenticate(),
      clock,
      admission,
    });
    const handler = () => {
      handled++;
      return handle();
    };
    const incoming = new IncomingCalls({ clock, connectionOf: () => undefined });
    server = new Server({ interceptors: [incoming.interceptor] });
    const method = TokenBlacklist.method.blacklist;
    const rules = TOKEN_BLACKLIST_RULES.blacklist;
    const { handle: blacklist, createAdmission } = serveUnary({
      ...authenticatedMethod(method, rules, environment),
      handler,
    });
    incoming.add(methodDefinition(method).path, { maxBytes: 1024, createAdmission });
    server.addService(serviceDefinition(TokenBlacklist), { blacklist });
    const port = await new Promise<number>((resolve, reject) => {
      const credentials = ServerCredentials.createInsecure();
      server.bindAsync("127.0.0.1:0", credentials, (error, bound) =>
        error ? reject(error) : resolve(bound),
      );
    });
    channel = new RawChannel(`127.0.0.1:${port}`);
  });

  afterEach(() => {
    channel.close();
    server.forceShutdown();
  });

  const lines = (which = "audit") => log.records().filter(({ msg }) => msg === which);
  const failEach = (error: ServiceError) => {
    handle = async () => {
      throw error;
    };
    return sendMany();
  };
  const begin = () => Array.from({ length: MANY }, () => channel.begin(methodPath("Blacklist"), MESSAGE));
  const sendMany = () => Promise.all(begin().map(({ answer }) => answer));

  it("is sampled for calls that changed nothing, and states how many lines were suppressed, like the log of calls", async () => {
    authenticate = () => {
      throw unauthenticated("a bearer token is needed");
    };
    await sendMany();
    clock.advance(1000);
    await channel.call(methodPath("Blacklist"), MESSAGE);
    for (const which of ["audit", "call"]) {
      expect(lines(which)).to.have.length(LOGGED_REFUSALS + 1);
      expect(lines(which).at(-1)).to.include({ code: "UNAUTHENTICATED", suppressed: MANY - LOGGED_REFUSALS });
    }
  });

  it("is sampled separately for each reason", async () => {
    await failEach(new ServiceError("OVERLOADED", "too much"));
    await failEach(new ServiceError("QUOTA_EXCEEDED", "too many"));
    await failEach(new ServiceError("PERMISSION_DENIED", "no"));
    expect(lines().map(({ reason }) => reason)).to.have.length(3 * LOGGED_REFUSALS);
  });

  it("states the number of suppressed lines at the end of the process", async () => {
    await failEach(new ServiceError("OVERLOADED", "too much"));
    logSampling.close();
    expect(lines().at(-1)).to.deep.equal({
      ...{ level: "info", method: "Blacklist", code: "RESOURCE_EXHAUSTED", reason: "OVERLOADED" },
      ...{ suppressed: MANY - LOGGED_REFUSALS, msg: "audit" },
    });
  });

  it("lists every token that may have been revoked, without sampling", async () => {
    await failEach(storeUnavailable("the database did not answer"));
    const named = lines().map(({ code, tokens }) => [code, (tokens as { jti: string }[])[0]?.jti]);
    expect(named).to.deep.equal(Array(MANY).fill(["UNAVAILABLE", "a"]));
  });

  it("lists the tokens of calls that were cancelled while their handlers ran", async () => {
    handle = () => new Promise<never>(() => {});
    const begun = begin();
    await until(() => handled === MANY, { withinMs: 5000, what: "all handlers have begun" });
    for (const call of begun) call.cancel();
    await until(() => lines().length === MANY, { withinMs: 5000, what: "all lines are written" });
    expect(lines().every(({ code, tokens }) => code === "CANCELLED" && tokens !== undefined)).to.equal(true);
  });

  it("lists no token of calls that were cancelled before they were authenticated, and these are not handled", async () => {
    let known = () => {};
    const knowing = new Promise<Principal>((resolve) => {
      known = () => resolve(UNRESTRICTED_PRINCIPAL);
    });
    authenticate = () => knowing;
    handle = () => new Promise<never>(() => {});
    const begun = begin();
    await until(() => admission.active === MANY, { withinMs: 5000, what: "all calls have arrived" });
    for (const call of begun) call.cancel();
    logSampling.close();
    await until(
      () => {
        logSampling.close();
        return (
          lines().reduce((sum, { suppressed = 0, peer }) => sum + Number(suppressed) + (peer ? 1 : 0), 0) ===
          MANY
        );
      },
      { withinMs: 5000, what: "all calls have ended" },
    );
    known();
    await until(() => admission.active === 0, { withinMs: 5000, what: "no call is in flight" });
    expect(lines().filter(({ tokens }) => tokens !== undefined)).to.deep.equal([]);
    expect(handled).to.equal(0);
  });
});
