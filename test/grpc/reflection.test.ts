import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import { promisify } from "node:util";
import { expect } from "chai";
import { after, before, describe, it } from "mocha";
import { unreadStream } from "../attacks/unread-answers.ts";
import { backends, type FreshDatabase } from "../support/backends.ts";
import { type RunningService, startService } from "../support/service.ts";

const BUF = createRequire(import.meta.url).resolve("@bufbuild/buf/bin/buf");
/** A request of reflection: its field 7, of 480 meaningless bytes. A window of DATA holds about 130 of these. */
const LIST_SERVICES = Buffer.concat([Buffer.from([0x3a, 0xe0, 0x03]), Buffer.alloc(480, "a")]);
const SERVICE = "tokenblacklist.v1.TokenBlacklist";

describe("reflection", () => {
  const [backend] = backends;
  let database: FreshDatabase;
  let running: RunningService;

  before(async () => {
    database = (await backend?.create()) as FreshDatabase;
    running = await startService({ url: database.url, env: { EXT_AUTHZ: "on" } });
  });
  after(async () => {
    await running?.stop();
    await database?.dispose();
  });

  async function curl(path: string, ...flags: string[]): Promise<string> {
    const common = ["curl", "--protocol", "grpc", "--http2-prior-knowledge", "--reflect"];
    const { stdout } = await promisify(execFile)(process.execPath, [
      ...[BUF, ...common, ...flags],
      `http://${running.address}${path}`,
    ]);
    return stdout;
  }

  it("lists every service, and the six methods of TokenBlacklist", async () => {
    expect((await curl("", "--list-services")).trim().split("\n").sort()).to.deep.equal([
      "envoy.service.auth.v3.Authorization",
      "grpc.health.v1.Health",
      "grpc.reflection.v1.ServerReflection",
      "grpc.reflection.v1alpha.ServerReflection",
      SERVICE,
    ]);
    expect((await curl("", "--list-methods")).trim().split("\n").sort()).to.include.members(
      ["Blacklist", "IsBlacklisted", "List", "Prune", "Watch", "StreamChecks"].map(
        (method) => `${SERVICE}/${method}`,
      ),
    );
  });

  it("describes health sufficiently for an orchestrator's tool", async () => {
    expect(JSON.parse(await curl("/grpc.health.v1.Health/Check", "-d", "{}"))).to.deep.equal({
      status: "SERVING",
    });
  });

  it("describes the service sufficiently for a tool without the proto file", async () => {
    const revoke = { tokens: [{ jti: "by-hand", expiresAt: "2100-01-01T00:00:00Z", reason: "stolen" }] };
    const revoked = JSON.parse(await curl(`/${SERVICE}/Blacklist`, "-d", JSON.stringify(revoke)));
    expect(revoked.results[0]).to.deep.include({ outcome: "OUTCOME_CREATED" });
    const ask = { jtis: ["by-hand", "by-Hand"], atLeastRevision: revoked.revision };
    const answer = JSON.parse(await curl(`/${SERVICE}/IsBlacklisted`, "-d", JSON.stringify(ask)));
    expect(answer).to.deep.equal({
      verdicts: ["VERDICT_BLACKLISTED", "VERDICT_NOT_BLACKLISTED"],
      revision: revoked.revision,
    });
  });

  it("reads no further request from a client that reads no responses", async () => {
    const ask = { path: "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", message: LIST_SERVICES };
    const sent = await unreadStream(running.address, ask, { count: 2000, forMs: 3000 });
    expect(sent).to.be.above(0).and.below(1000);
  });
});
