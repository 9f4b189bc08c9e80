import { PassThrough } from "node:stream";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { expect } from "chai";
import {
  type BlacklistRequest,
  BlacklistResult_Outcome as Outcome,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { invalidRequest, ServiceError, storeUnavailable, unauthenticated } from "../../src/errors.ts";
import type { Script } from "../client/scripted-service.ts";
import { NOW } from "./run-cli.ts";
import { runAgainst } from "./with-service.ts";

const HOUR = 3_600_000;

/** Stores every request, as if no entry existed. */
const SERVICE: Script = { blacklist: (request) => stored(request) };

function stored({ tokens }: BlacklistRequest, outcome = Outcome.CREATED) {
  const results = tokens.map(({ token, expiresAt, reason }) => ({
    token: {
      jti: token.value as string,
      reason,
      createdAt: timestampFromMs(NOW),
      ...(expiresAt && { expiresAt }),
    },
    outcome,
  }));
  return { results, revision: "7-r" };
}

function sent(service: { calls: readonly { request: object }[] }) {
  return service.calls.map(({ request }) =>
    (request as BlacklistRequest).tokens.map(({ token, expiresAt, reason }) => ({
      jti: token.value,
      at: expiresAt && { seconds: expiresAt.seconds, nanos: expiresAt.nanos },
      reason,
    })),
  );
}

/** The sizes of the calls, without their order: concurrent calls may overtake each other. */
function sizesOf(service: { calls: readonly { request: object }[] }): number[] {
  return sent(service)
    .map(({ length }) => length)
    .sort((a, b) => a - b);
}

/** `count` jtis, one per line. */
function lines(count: number): string {
  return Array.from({ length: count }, (_, index) => `jti-${index}\n`).join("");
}

describe("blacklist", () => {
  it("sends the jtis with their expiry and reason, and prints the outcomes", async () => {
    const argv = ["blacklist", "a", "longer", "--expires-at", "1h", "--reason", "stolen"];
    const { exitCode, stdout, stderr, service } = await runAgainst(SERVICE, argv);
    const at = { seconds: BigInt((NOW + HOUR) / 1000), nanos: 0 };
    expect({ exitCode, stdout, stderr, sent: sent(service) }).to.deep.equal({
      exitCode: 0,
      stdout:
        "JTI     OUTCOME  EXPIRES\n" +
        "a       created  2030-01-01T01:00:00Z (in 60m)\n" +
        "longer  created  2030-01-01T01:00:00Z (in 60m)\n",
      stderr: "",
      sent: [
        [
          { jti: "a", at, reason: "stolen" },
          { jti: "longer", at, reason: "stolen" },
        ],
      ],
    });
  });

  it("prints the stored entry, its outcome and the revision as JSON", async () => {
    const script: Script = { blacklist: (request) => stored(request, Outcome.ALREADY_BLACKLISTED) };
    const argv = ["blacklist", "a", "--expires-at", "1900000000.0005", "--output", "ndjson"];
    const { stdout } = await runAgainst(script, argv);
    expect(stdout).to.equal(
      '{"jti":"a","expires_at":"2030-03-17T17:46:40.001Z","created_at":"2030-01-01T00:00:00.000Z",' +
        '"reason":"","revoked_by":"","outcome":"already_blacklisted","revision":"7-r"}\n',
    );
  });

  it("lets a JSON line override the expiry and reason of the command", async () => {
    const stdin = [
      "bare",
      '{"jti":"own","expires_at":1900000000,"reason":"mine"}',
      '{"jti":"text","expires_at":"2030-06-01T00:00:00.000000001+02:00"}',
      '{"jti":"copied","created_at":null,"revoked_by":"","outcome":"created","revision":"7-r"}',
    ].join("\n");
    const { service } = await runAgainst(
      SERVICE,
      ["blacklist", "-", "--expires-at", "1h", "--reason", "all"],
      { stdin },
    );
    const common = { seconds: BigInt((NOW + HOUR) / 1000), nanos: 0 };
    expect(sent(service)).to.deep.equal([
      [
        { jti: "bare", at: common, reason: "all" },
        { jti: "own", at: { seconds: 1_900_000_000n, nanos: 0 }, reason: "mine" },
        { jti: "text", at: { seconds: 1_906_495_200n, nanos: 1 }, reason: "all" },
        { jti: "copied", at: common, reason: "all" },
      ],
    ]);
  });

  for (const [line, complaint] of [
    ["bare", "has no expiry: give one with --expires-at"],
    ['{"jti":"a"}', "has no expiry: give one with --expires-at"],
    ['{"jti":"a","expiresAt":1}', 'unknown field "expiresAt": did you mean "expires_at"?'],
    ['{"jti":"a","sub":"b"}', 'unknown field "sub": the fields are jti, expires_at, reason'],
    ['{"jti":1}', '"jti" must be a string'],
    ['{"jti":"a","reason":1}', '"reason" must be a string'],
    ['{"jti":"a","expires_at":null}', '"expires_at" must be a string or a number'],
    [
      '{"jti":"a","expires_at":1900000000000}',
      "expires_at looks like milliseconds: use epoch seconds, perhaps 1900000000",
    ],
  ] as const) {
    it(`refuses the line ${line}`, async () => {
      const { exitCode, stderr, service } = await runAgainst(SERVICE, ["blacklist", "-"], { stdin: line });
      expect({ exitCode, stderr, calls: service.calls }).to.deep.equal({
        exitCode: 2,
        stderr: `error: line 1: ${complaint}\nNothing was stored.\n`,
        calls: [],
      });
    });
  }

  it("sends a large input in batches of 1000, a few concurrently, and prints results in the input's order", async () => {
    let open = 0;
    let most = 0;
    const script: Script = {
      blacklist: async (request) => {
        most = Math.max(most, ++open);
        // The earlier a batch, the later its response.
        const index = Number(/\d+/.exec(request.tokens[0]?.token.value ?? "")?.[0]) / 1000;
        await new Promise((resolve) => setTimeout(resolve, 40 - 4 * index));
        open -= 1;
        return stored(request);
      },
    };
    const argv = ["blacklist", "-", "--expires-at", "1h", "--output", "ndjson"];
    const { exitCode, stdout, service } = await runAgainst(script, argv, { stdin: lines(6500) });
    const printed = stdout
      .trimEnd()
      .split("\n")
      .map((line) => (JSON.parse(line) as { jti: string }).jti);
    expect({ exitCode, printed, sizes: sizesOf(service), most }).to.deep.equal({
      exitCode: 0,
      printed: lines(6500).trimEnd().split("\n"),
      sizes: [500, 1000, 1000, 1000, 1000, 1000, 1000],
      most: 4,
    });
  });

  it("stops after a failed batch, and reports how much was stored and that repeating is safe", async () => {
    const script: Script = {
      blacklist: (request) => {
        if (request.tokens[0]?.token.value === "jti-2000") throw storeUnavailable("the database is away");
        return stored(request);
      },
    };
    const { exitCode, stdout, stderr, service } = await runAgainst(
      script,
      ["blacklist", "-", "--expires-at", "1h", "--output", "ndjson"],
      { stdin: lines(100_000) },
    );
    const count = stdout.trimEnd().split("\n").length;
    expect({ exitCode, stderr: stderr.replace(service.address, "ADDRESS") }).to.deep.equal({
      exitCode: 69,
      stderr:
        "error: the service at ADDRESS is unavailable (STORE_UNAVAILABLE): the database is away; try again in 1 s\n" +
        `${count} tokens were certainly stored. Repeating the whole command is safe.\n`,
    });
    // Calls in flight beside the failed one were awaited; the rest was never sent.
    expect(count).to.equal((service.calls.length - 1) * 1000);
    expect(service.calls.length).to.be.within(3, 8);
  });

  it("reports that nothing was stored if the service refused, and otherwise that it is uncertain", async () => {
    const consequence = async (error: Error) => {
      const script: Script = {
        blacklist: () => {
          throw error;
        },
      };
      const { exitCode, stderr } = await runAgainst(script, ["blacklist", "a", "--expires-at", "1h"]);
      return { exitCode, last: stderr.trimEnd().split("\n").at(-1) };
    };
    expect([
      await consequence(invalidRequest([{ field: "tokens[0].expires_at", description: "must lie ahead" }])),
      await consequence(unauthenticated("expired")),
      await consequence(new ServiceError("PERMISSION_DENIED", "no role")),
      await consequence(storeUnavailable("away")),
    ]).to.deep.equal([
      { exitCode: 2, last: "Nothing was stored." },
      { exitCode: 70, last: "Nothing was stored." },
      { exitCode: 70, last: "Nothing was stored." },
      { exitCode: 69, last: "It is not certain whether anything was stored. Repeating the command is safe." },
    ]);
  });

  it("ends with 130 on Ctrl-C, also while it waits for input, and reports what was stored", async () => {
    const abort = new AbortController();
    const stdin = new PassThrough();
    stdin.write(lines(1000));
    const script: Script = {
      blacklist: (request) => {
        setTimeout(() => abort.abort(), 100);
        return stored(request);
      },
    };
    const { exitCode, stderr } = await runAgainst(script, ["blacklist", "-", "--expires-at", "1h"], {
      stdin,
      io: { signal: abort.signal },
    });
    expect({ exitCode, stderr, released: stdin.destroyed }).to.deep.equal({
      exitCode: 130,
      stderr: "interrupted\n1000 tokens were certainly stored. Repeating the whole command is safe.\n",
      released: true,
    });
  });

  it("ends with 2 if standard input contains no token", async () => {
    const results = [];
    for (const stdin of ["", "\n\n"]) {
      const { exitCode, stdout, stderr } = await runAgainst(
        SERVICE,
        ["blacklist", "-", "--expires-at", "1h"],
        {
          stdin,
        },
      );
      results.push([exitCode, stdout, stderr]);
    }
    const wrong = [2, "", "error: standard input contains no token\n"];
    expect(results).to.deep.equal([wrong, wrong]);
  });

  it("warns once of expiries decades ahead, and stores them", async () => {
    const argv = ["blacklist", "a", "b", "--expires-at", "2099-01-01T00:00:00Z"];
    const { exitCode, stderr } = await runAgainst(SERVICE, argv);
    expect([exitCode, stderr]).to.deep.equal([
      0,
      'warning: "a": the expiry is decades ahead (69 years): the entry is kept until then\n',
    ]);
  });

  it("warns of each kind of likely mistake in any order", async () => {
    const batch = (first: string) => [first, ...Array.from({ length: 999 }, (_, index) => `${index}`)];
    const slips = ['"a"', "b c", "d ", "[e", "f,g", "\u200bh", "\u2014i"];
    const stdin = slips.flatMap(batch).join("\n");
    const argv = ["blacklist", "-", "--expires-at", "2099-01-01T00:00:00Z"];
    const { stderr } = await runAgainst(SERVICE, argv, { stdin });
    expect(stderr.match(/^warning: line \d+/gm)).to.have.members([
      "warning: line 1",
      ...slips.map((_, index) => `warning: line ${index * 1000 + 1}`),
    ]);
  });
});
