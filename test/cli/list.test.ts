import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { expect } from "chai";
import type { ListRequest } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { storeUnavailable } from "../../src/errors.ts";
import type { Script } from "../client/scripted-service.ts";
import { NOW } from "./run-cli.ts";
import { runAgainst } from "./with-service.ts";

const HOUR = 3_600_000;

function entry(jti: string, fields: { reason?: string; revokedBy?: string; known?: boolean } = {}) {
  const { known = true, ...texts } = fields;
  return {
    jti,
    expiresAt: timestampFromMs(NOW + 50 * HOUR + 1),
    ...(known && { createdAt: timestampFromMs(NOW - 90_000 + 999) }),
    ...texts,
  };
}

/** Has `count` entries and pages through them; a page token is the next index. */
function holding(count: number): Script {
  const entries = Array.from({ length: count }, (_, index) => entry(`jti-${index}`));
  return {
    list: ({ pageSize, pageToken }) => {
      const start = Number(pageToken);
      // Every other page is empty, as the contract allows.
      if (pageToken.endsWith(".5")) return { nextPageToken: String(Math.floor(start)) };
      const end = start + Math.min(pageSize, 1000);
      return { tokens: entries.slice(start, end), nextPageToken: end < count ? `${end}.5` : "" };
    },
  };
}

function asked(service: { calls: readonly { request: object }[] }): ListRequest[] {
  return service.calls.map(({ request }) => request as ListRequest);
}

describe("list", () => {
  it("shows entries in a table with readable times", async () => {
    const script: Script = {
      list: () => ({
        tokens: [
          entry("a", { reason: "laptop stolen", revokedBy: "auth" }),
          entry("b-longer", { known: false }),
        ],
      }),
    };
    const { exitCode, stdout, stderr } = await runAgainst(script, ["list"]);
    expect({ exitCode, stdout, stderr }).to.deep.equal({
      exitCode: 0,
      stdout:
        "JTI       EXPIRES                       CREATED                         REVOKED BY  REASON\n" +
        "a         2030-01-03T02:00:00Z (in 2d)  2029-12-31T23:58:30Z (89s ago)  auth        laptop stolen\n" +
        "b-longer  2030-01-03T02:00:00Z (in 2d)  unknown                         -           -\n",
      stderr: "",
    });
  });

  it("prints exact values as JSON, with null for unknown ones", async () => {
    const script: Script = {
      list: () => ({ tokens: [entry("a", { reason: "r" }), entry("b", { known: false })] }),
    };
    const { stdout } = await runAgainst(script, ["list", "--output", "json"]);
    expect(JSON.parse(stdout)).to.deep.equal([
      {
        jti: "a",
        expires_at: "2030-01-03T02:00:00.001Z",
        created_at: "2029-12-31T23:58:30.999Z",
        reason: "r",
        revoked_by: "",
      },
      { jti: "b", expires_at: "2030-01-03T02:00:00.001Z", created_at: null, reason: "", revoked_by: "" },
    ]);
  });

  it("shows a screenful, and reports that there is more", async () => {
    const { exitCode, stdout, stderr } = await runAgainst(holding(41), ["list", "--output", "ndjson"]);
    expect({ exitCode, rows: stdout.trimEnd().split("\n").length, stderr }).to.deep.equal({
      exitCode: 0,
      rows: 40,
      stderr: "There are more than these 40: see --limit and --all.\n",
    });
  });

  it("does not report more entries if there are none", async () => {
    const { stdout, stderr } = await runAgainst(holding(40), ["list", "--output", "ndjson"]);
    expect({ rows: stdout.trimEnd().split("\n").length, stderr }).to.deep.equal({ rows: 40, stderr: "" });
  });

  it("reads all pages with --all, including empty ones", async () => {
    const { stdout, stderr } = await runAgainst(holding(2500), ["list", "--all", "--output", "ndjson"]);
    const jtis = stdout
      .trimEnd()
      .split("\n")
      .map((line) => (JSON.parse(line) as { jti: string }).jti);
    expect({ jtis, stderr }).to.deep.equal({
      jtis: Array.from({ length: 2500 }, (_, index) => `jti-${index}`),
      stderr: "",
    });
  });

  it("prints an empty array as JSON, and an empty table, if nothing matches", async () => {
    const json = await runAgainst(holding(0), ["list", "--output", "json"]);
    const table = await runAgainst(holding(0), ["list"]);
    expect([json.stdout, table.stdout]).to.deep.equal(["[]\n", ""]);
  });

  it("prints complete JSON even if a later page fails", async () => {
    const script: Script = {
      list: ({ pageToken }) => {
        if (pageToken !== "") throw storeUnavailable("away");
        return { tokens: [entry("a")], nextPageToken: "1" };
      },
    };
    const { exitCode, stdout } = await runAgainst(script, ["list", "--all", "--output", "json"]);
    const jtis = (JSON.parse(stdout) as { jti: string }[]).map(({ jti }) => jti);
    expect({ exitCode, jtis }).to.deep.equal({ exitCode: 69, jtis: ["a"] });
  });

  it("sends its filters with every page", async () => {
    const argv = ["list", "--all", "--include-expired", "--revoked-by", "auth", "--jti", "x", "--jti", "y"];
    const times = ["--created-after", "1h", "--created-before", "1893456000.5"];
    const { service } = await runAgainst(holding(1001), [...argv, ...times]);
    const filters = asked(service).map(
      ({ includeExpired, revokedBy, jtis, createdAfter, createdBefore }) => ({
        includeExpired,
        revokedBy,
        jtis,
        after: createdAfter?.seconds,
        before: [createdBefore?.seconds, createdBefore?.nanos],
      }),
    );
    const each = {
      includeExpired: true,
      revokedBy: "auth",
      jtis: ["x", "y"],
      after: BigInt((NOW - HOUR) / 1000),
      before: [1_893_456_000n, 500_000_000],
    };
    expect(filters).to.deep.equal([each, each, each]);
  });

  it("reports on standard error that nothing was found, in every format", async () => {
    for (const format of ["table", "json", "ndjson"]) {
      const { exitCode, stderr } = await runAgainst(holding(0), ["list", "--output", format]);
      expect([format, exitCode, stderr]).to.deep.equal([format, 0, "No entries.\n"]);
    }
  });

  it("refuses an empty time window", async () => {
    const argv = ["list", "--created-after", "1h", "--created-before", "2h"];
    const { exitCode, stderr, service } = await runAgainst(holding(1), argv);
    expect([exitCode, stderr, asked(service)]).to.deep.equal([
      2,
      "error: no entry can match: --created-after is not before --created-before\n",
      [],
    ]);
  });

  it("warns of likely mistakes in jtis, in list and export, without repeating raw tokens", async () => {
    const token = rawToken();
    for (const command of ["list", "export"]) {
      const { exitCode, stderr } = await runAgainst(holding(1), [
        ...[command, "--jti", "a,b", "--jti", " c", "--jti", `Bearer ${token}`],
      ]);
      expect([command, exitCode, stderr]).to.deep.equal([
        command,
        0,
        'warning: "a,b" contains a comma, which is part of the jti: give several jtis as separate arguments, or one per line\n' +
          'warning: " c" has leading or trailing white space, which is part of the jti\n',
      ]);
    }
  });

  it("explains that nothing was found because the time window is in the future", async () => {
    for (const [command, nothing] of [
      ["list", "No entries"],
      ["export", "There were no entries to export"],
    ] as const) {
      const argv = [command, "--created-after", "2040-01-01T00:00:00Z"];
      const { exitCode, stderr } = await runAgainst(holding(0), argv);
      expect([exitCode, stderr]).to.deep.equal([0, `${nothing}: --created-after is in the future.\n`]);
    }
  });
});

function rawToken(): string {
  const header = Buffer.from('{"alg":"RS256"}').toString("base64url");
  return `${header}.e30.x`;
}
