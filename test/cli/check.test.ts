import { PassThrough } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { expect } from "chai";
import { type IsBlacklistedRequest, Verdict } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { invalidRequest, storeUnavailable } from "../../src/errors.ts";
import { MAX_TIMER_MS } from "../../src/limits.ts";
import type { Script } from "../client/scripted-service.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { runAgainst } from "./with-service.ts";

/** Jtis with "bad" are blacklisted, those with "odd" unknown. */
const SERVICE: Script = {
  isBlacklisted: ({ jtis }) => ({ verdicts: jtis.map(verdictOf), revision: "7-r" }),
};

function verdictOf(jti: string): Verdict {
  if (jti.includes("bad")) return Verdict.BLACKLISTED;
  return jti.includes("odd") ? Verdict.UNKNOWN : Verdict.NOT_BLACKLISTED;
}

function requests(service: { calls: readonly { request: object }[] }): IsBlacklistedRequest[] {
  return service.calls.map(({ request }) => request as IsBlacklistedRequest);
}

describe("check", () => {
  it("ends with 0 if no token is blacklisted", async () => {
    const { exitCode, stdout, stderr } = await runAgainst(SERVICE, ["check", "a", "longer"]);
    expect({ exitCode, stdout, stderr }).to.deep.equal({
      exitCode: 0,
      stdout: "JTI     VERDICT\na       not blacklisted\nlonger  not blacklisted\n",
      stderr: "",
    });
  });

  for (const timeout of ["25d", "30d", "720h", "60d", "999999999d"]) {
    it(`waits for a response as long as configured (${timeout})`, async () => {
      const slow: Script = {
        isBlacklisted: async () => {
          // Later than the millisecond after which an overflowed timer fires.
          await delay(20);
          return { verdicts: [Verdict.NOT_BLACKLISTED], revision: "7-r" };
        },
      };
      const { exitCode, stderr } = await runAgainst(slow, ["check", "a", "--timeout", timeout]);
      expect([exitCode, stderr]).to.deep.equal([0, ""]);
    });
  }

  it("ends with 1 if a token is blacklisted", async () => {
    const { exitCode, stdout } = await runAgainst(SERVICE, ["check", "a", "bad", "--output", "json"]);
    expect({ exitCode, rows: JSON.parse(stdout) }).to.deep.equal({
      exitCode: 1,
      rows: [
        { jti: "a", verdict: "not_blacklisted", revision: "7-r" },
        { jti: "bad", verdict: "blacklisted", revision: "7-r" },
      ],
    });
  });

  it("ends with 69 for unknown verdicts, but with 1 if a token is known to be blacklisted", async () => {
    const unknown = await runAgainst(SERVICE, ["check", "odd"]);
    const known = await runAgainst(SERVICE, ["check", "odd", "bad"]);
    expect([unknown.exitCode, known.exitCode, unknown.stderr]).to.deep.equal([
      69,
      1,
      "The result of 1 is unknown: check again later.\n",
    ]);
  });

  it("ends with 69 if a later batch fails, but with 1 if an earlier one found a blacklisted token", async () => {
    const script: Script = {
      isBlacklisted: ({ jtis }) => {
        if (jtis.includes("last")) throw storeUnavailable("the database is away");
        return { verdicts: jtis.map(verdictOf), revision: "r" };
      },
    };
    const clean = `${"a\n".repeat(1000)}last\n`;
    const unclean = `bad\n${"a\n".repeat(999)}last\n`;
    expect([
      (await runAgainst(script, ["check", "-"], { stdin: clean })).exitCode,
      (await runAgainst(script, ["check", "-"], { stdin: unclean })).exitCode,
    ]).to.deep.equal([69, 1]);
  });

  it("reads lines byte for byte, without blank lines and line endings", async () => {
    const { service } = await runAgainst(SERVICE, ["check", "-"], {
      stdin: ' a \r\n\n\r\n\tb\r\r\n{"jti":"c\\n"}\né',
    });
    expect(requests(service).map(({ jtis }) => jtis)).to.deep.equal([[" a ", "\tb\r", "c\n", "é"]]);
  });

  for (const [what, stdin, where] of [
    ["is not UTF-8", Buffer.from([0x61, 0x0a, 0xc3, 0x28, 0x0a]), "line 2: is not UTF-8"],
    ["is UTF-16", Buffer.from("\ufeffa\n", "utf16le"), "line 1: is not UTF-8"],
    [
      "starts with a byte order mark",
      "\ufeffa\n",
      "line 1: starts with a byte order mark: save the input as UTF-8 without one",
    ],
    ["holds a jti that is too long", `a\n${"x".repeat(256)}\n`, "line 2: must be at most 255 bytes of UTF-8"],
    ["holds an endless line", "x".repeat(200_000), "line 1: is longer than any token"],
    [
      "holds broken JSON",
      "{x\n",
      'line 1: starts with { but is not JSON: write a jti that starts with { as {"jti": "{..."}',
    ],
    ["holds a lone surrogate", '{"jti":"\\ud800"}\n', "line 1: jti: must be well-formed Unicode"],
    ["names no jti", "", "standard input contains no jti"],
  ] as const) {
    it(`refuses input that ${what} with exit code 2`, async () => {
      const { exitCode, stderr, service } = await runAgainst(SERVICE, ["check", "-"], { stdin });
      expect({ exitCode, stderr, calls: service.calls }).to.deep.equal({
        exitCode: 2,
        stderr: `error: ${where}\n`,
        calls: [],
      });
    });
  }

  it("requests the configured freshness", async () => {
    const asked = [];
    const OPTIONS = [
      [],
      ["--max-staleness", "1m30s"],
      ["--max-staleness", "99999999d"],
      ["--at-least-revision", "7-r"],
    ];
    for (const options of OPTIONS) {
      const { service } = await runAgainst(SERVICE, ["check", "a", ...options]);
      asked.push(...requests(service).map(({ freshness: { case: name, value } }) => ({ name, value })));
    }
    const duration = { $typeName: "google.protobuf.Duration", seconds: 90n, nanos: 0 };
    expect(asked).to.deep.equal([
      { name: undefined, value: undefined },
      { name: "maxStaleness", value: duration },
      // The longest accepted duration.
      { name: "maxStaleness", value: { ...duration, seconds: BigInt(MAX_TIMER_MS / 1000) } },
      { name: "atLeastRevision", value: "7-r" },
    ]);
  });

  it("names the line, not the index, of a rejected token", async () => {
    const refuse: Script = {
      isBlacklisted: ({ jtis }) => {
        if (!jtis.includes("last")) return { verdicts: jtis.map(() => Verdict.NOT_BLACKLISTED) };
        throw invalidRequest([
          { field: "jtis[0]", description: "must be nicer" },
          { field: "jtis[1]", description: "must be shorter" },
        ]);
      },
    };
    const stdin = `${"a\n\n".repeat(1000)}b\nlast\n`;
    const { exitCode, stderr } = await runAgainst(refuse, ["check", "-"], { stdin });
    expect({ exitCode, stderr }).to.deep.equal({
      exitCode: 2,
      stderr: "error: the request is invalid:\n  line 2001: must be nicer\n  line 2002: must be shorter\n",
    });
  });

  it("sends a partial batch when the input pauses", async () => {
    const stdin = new PassThrough();
    const clock = new FakeClock();
    const script: Script = {
      isBlacklisted: ({ jtis }) => {
        stdin.end();
        return { verdicts: jtis.map(verdictOf), revision: "r" };
      },
    };
    stdin.write("bad\n");
    const result = runAgainst(script, ["check", "-"], { stdin, io: { clock } });
    while (clock.pendingTimers === 0) await new Promise((resolve) => setImmediate(resolve));
    clock.advance(100);
    expect((await result).exitCode).to.equal(1);
  });

  it("warns once per kind of jtis that are likely mistakes, and sends them unchanged", async () => {
    const script: Script = {
      isBlacklisted: ({ jtis }) => ({ verdicts: jtis.map(verdictOf), revision: "r" }),
    };
    const asArguments = await runAgainst(script, ["check", "a,b", "'c'", "d ", "e,f"]);
    expect([asArguments.exitCode, asArguments.stderr]).to.deep.equal([
      0,
      'warning: "a,b" contains a comma, which is part of the jti: give several jtis as separate arguments, or one per line\n' +
        `warning: "'c'" is in quotes, which are part of the jti\n` +
        'warning: "d " has leading or trailing white space, which is part of the jti\n',
    ]);
    const stdin = '{"jti":" a, b "}\nplain\n c\n';
    const asLines = await runAgainst(script, ["check", "-"], { stdin });
    expect(asLines.stderr).to.equal(
      "warning: line 3 has leading or trailing white space, which is part of the jti\n",
    );
  });

  it("warns of invisible characters, of several jtis in one, and of JSON or options taken as jtis", async () => {
    const script: Script = {
      isBlacklisted: ({ jtis }) => ({ verdicts: jtis.map(verdictOf), revision: "r" }),
    };
    const warnings: Readonly<Record<string, string>> = {
      "\u200bid": "contains an invisible character, which is part of the jti",
      "id\u200e": "contains an invisible character, which is part of the jti",
      "i\x1bd": "contains an invisible character, which is part of the jti",
      "\u00adid": "contains an invisible character, which is part of the jti",
      "one two":
        "contains white space, which is part of the jti: give several jtis as separate arguments, or one per line",
      "one\rtwo\r":
        "contains white space, which is part of the jti: give several jtis as separate arguments, or one per line",
      "one\t1900000000":
        "contains white space, which is part of the jti: give several jtis as separate arguments, or one per line",
      '["one"]':
        "begins with a bracket, which is part of the jti: write one jti or object per line, not a list",
      "\u2014reason":
        "begins with a dash that is not a hyphen, which is part of the jti: options begin with two hyphens",
      "\u2013-jwt":
        "begins with a dash that is not a hyphen, which is part of the jti: options begin with two hyphens",
      "\u201cone\u201d": "is in quotes, which are part of the jti",
      "`one`": "is in quotes, which are part of the jti",
      "می\u200cخواهم": "",
    };
    const seen: Record<string, string> = {};
    for (const jti of Object.keys(warnings)) {
      const { stderr } = await runAgainst(script, ["check", "-"], { stdin: `${jti}\n` });
      seen[jti] = stderr.trimEnd().replace(/^warning: line 1 /, "");
    }
    expect(seen).to.deep.equal(warnings);
  });
});
