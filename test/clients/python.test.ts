import { execFile } from "node:child_process";
import { rm } from "node:fs/promises";
import { promisify } from "node:util";
import { expect } from "chai";
import { describe, it } from "mocha";
import { backends } from "../support/backends.ts";
import { startService } from "../support/service.ts";
import { freshFolder } from "../support/shared.ts";

const run = promisify(execFile);
// Debian's own interpreter: it is the one that sees Debian's packages.
const PYTHON = "/usr/bin/python3";
const CONVERSATION = new URL("python/conversation.py", import.meta.url).pathname;
const GOOGLE = "node_modules/@grpc/grpc-js-xds/deps/googleapis";
const HEALTH = "node_modules/grpc-health-check/proto";
const PROTO_FILES = [
  "proto/tokenblacklist/v1/token_blacklist.proto",
  `${GOOGLE}/google/rpc/status.proto`,
  `${GOOGLE}/google/rpc/error_details.proto`,
  `${HEALTH}/health/v1/health.proto`,
];
const YEAR_2100 = 4_102_444_800;

for (const backend of backends) {
  describe(`a client in Python (${backend.name})`, () => {
    it("is understood and understands everything, error details included", async function () {
      if (!(await hasGrpc())) {
        if (this.test) this.test.title += " (needs python3-grpcio and python3-grpc-tools)";
        this.skip();
      }
      const stubs = await generateStubs();
      const database = await backend.create();
      const service = await startService({ url: database.url, env: { EXPIRY_LEEWAY: "0" } });
      try {
        const { stdout } = await run(PYTHON, [CONVERSATION, service.address, stubs]);
        expect(JSON.parse(stdout)).to.deep.equal(EXPECTED);
      } finally {
        await service.stop();
        await database.dispose();
        await rm(stubs, { recursive: true });
      }
    });
  });
}

async function hasGrpc(): Promise<boolean> {
  return run(PYTHON, ["-c", "import grpc, grpc_tools"]).then(
    () => true,
    () => false,
  );
}

async function generateStubs(): Promise<string> {
  const folder = await freshFolder();
  const roots = ["proto", GOOGLE, HEALTH].map((root) => `--proto_path=${root}`);
  const outputs = [`--python_out=${folder}`, `--grpc_python_out=${folder}`];
  await run(PYTHON, ["-m", "grpc_tools.protoc", ...roots, ...outputs, ...PROTO_FILES]);
  return folder;
}

function stored(jti: string, { expires_at = YEAR_2100, reason = "" } = {}) {
  return { jti, expires_at, created_lately: true, reason, revoked_by: "" };
}

function refused(fields: readonly string[]) {
  return { code: "INVALID_ARGUMENT", info: ["INVALID_REQUEST", "tokenblacklist"], fields };
}

const VERDICTS = [
  "VERDICT_BLACKLISTED",
  "VERDICT_NOT_BLACKLISTED",
  "VERDICT_BLACKLISTED",
  "VERDICT_NOT_BLACKLISTED",
];

const EXPECTED = {
  health: ["SERVING", "SERVING"],
  first: [
    ["OUTCOME_CREATED", stored("py-1", { reason: "logged out" })],
    ["OUTCOME_CREATED", stored("py-2")],
    ["OUTCOME_CREATED", stored("py-é")],
  ],
  again: [
    ["OUTCOME_EXTENDED", stored("py-1", { expires_at: YEAR_2100 + 1, reason: "logged out" })],
    ["OUTCOME_ALREADY_BLACKLISTED", stored("py-2")],
  ],
  fresh: VERDICTS,
  since: VERDICTS,
  stale: VERDICTS,
  pages: { sizes: [2, 1], jtis: ["py-1", "py-2", "py-é"] },
  found: [stored("py-2")],
  pruned: [1, 1, 0],
  "wrong tokens": refused([
    "tokens[0].jti",
    "tokens[1].expires_at",
    "tokens[2].expires_at",
    "tokens[2].reason",
  ]),
  "no jtis": refused(["jtis"]),
  "wrong revision": refused(["at_least_revision"]),
  "wrong page size": refused(["page_size"]),
  "wrong page token": refused(["page_token"]),
  "wrong count": refused(["max_count"]),
};
