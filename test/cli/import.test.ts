import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { expect } from "chai";
import fc from "fast-check";
import { invalidRequest, storeUnavailable } from "../../src/errors.ts";
import { systemClock } from "../../src/time/clock.ts";
import type { Script } from "../client/scripted-service.ts";
import { freePort } from "../support/free-port.ts";
import { freshFolder } from "../support/shared.ts";
import { until } from "../support/until.ts";
import { HOUR, IMPORT, IN_AN_HOUR, line, lines, row, rowOf } from "./import-input.ts";
import { MemoryBlacklist } from "./memory-blacklist.ts";
import { NOW, runCli } from "./run-cli.ts";
import { runAgainst } from "./with-service.ts";

describe("import", () => {
  let memory: MemoryBlacklist;

  beforeEach(() => {
    memory = new MemoryBlacklist();
  });

  it("accepts the output of export, and minimal lines of other systems", async () => {
    const stdin = [
      '{"jti":"exported","expires_at":"2030-01-01T01:00:00.000Z","created_at":"2029-01-01T00:00:00.000Z","reason":"stolen","revoked_by":"auth"}',
      '{"jti":"seconds","expires_at":1893459600}',
      '{"jti":"claim","exp":1893459600.5,"reason":null}',
      '{"jti":"text","exp":"1893459600"}',
      '{"jti":"exponent","exp":1.8934596e9}\r',
      "",
      '{"exp":1893459600,"jti":"last without a line break"}',
    ].join("\n");
    const { exitCode, stdout, stderr } = await runAgainst(memory.script, [...IMPORT, "--reason", "moved"], {
      stdin,
    });
    const at = NOW + HOUR;
    expect({ exitCode, stderr, row: rowOf(stdout), entries: [...memory.entries].sort() }).to.deep.equal({
      exitCode: 0,
      stderr: "",
      row: row({ lines: 6, created: 6 }),
      entries: [
        ["claim", { expiresAt: at + 500, reason: "moved" }],
        ["exponent", { expiresAt: at, reason: "moved" }],
        ["exported", { expiresAt: at, reason: "stolen" }],
        ["last without a line break", { expiresAt: at, reason: "moved" }],
        ["seconds", { expiresAt: at, reason: "moved" }],
        ["text", { expiresAt: at, reason: "moved" }],
      ],
    });
  });

  it("prints the outcomes in a table by default", async () => {
    memory.entries.set("jti-0", { expiresAt: NOW + 2 * HOUR, reason: "" });
    memory.entries.set("jti-1", { expiresAt: NOW + 1, reason: "" });
    const { stdout } = await runAgainst(memory.script, ["import", "-"], { stdin: lines(5) });
    expect(stdout).to.equal(
      "LINES  CREATED  ALREADY BLACKLISTED  EXTENDED  EXPIRED  REFUSED\n" +
        "5      3        1                    1         0        0\n",
    );
  });

  const WRONG: readonly (readonly [string, string])[] = [
    ["jti-only", 'is not a JSON object such as {"jti": "...", "exp": 1900000000}'],
    ['["a"]', 'is not a JSON object such as {"jti": "...", "exp": 1900000000}'],
    ["null", 'is not a JSON object such as {"jti": "...", "exp": 1900000000}'],
    ['{"jti":"secret","exp"', 'is not a JSON object such as {"jti": "...", "exp": 1900000000}'],
    ['{"exp":1893459600}', '"jti" must be a string'],
    ['{"jti":1,"exp":1893459600}', '"jti" must be a string'],
    ['{"jti":"","exp":1893459600}', '"jti" must not be empty'],
    ['{"jti":"a\\u0000","exp":1893459600}', '"jti" must not contain NUL'],
    ['{"jti":"\\ud800","exp":1893459600}', '"jti" must be well-formed Unicode'],
    [`{"jti":"${"x".repeat(256)}","exp":1893459600}`, '"jti" must be at most 255 bytes of UTF-8'],
    ['{"jti":"a"}', 'has no "exp" or "expires_at"'],
    [
      '{"jti":"a","exp":1893459600,"expires_at":1893459600}',
      'has both "exp" and "expires_at": one is enough',
    ],
    ['{"jti":"a","exp":null}', '"exp" must be a string or a number'],
    [
      '{"jti":"a","exp":1893459600000}',
      '"exp" looks like milliseconds: use epoch seconds, perhaps 1893459600',
    ],
    [
      '{"jti":"a","expires_at":"1h"}',
      '"expires_at" must be a time such as 2030-01-31T12:00:00Z, or epoch seconds such as 1900000000',
    ],
    [
      '{"jti":"a","exp":-1893459600}',
      '"exp" must be a time such as 2030-01-31T12:00:00Z, or epoch seconds such as 1900000000',
    ],
    [
      '{"jti":"a","exp":1893459}',
      '"exp" is too small for epoch seconds: for a duration add a unit, such as 1893459s; for an early time use RFC 3339',
    ],
    ['{"jti":"a","expires_at":"2030-02-30T00:00:00Z"}', '"expires_at" is not an existing date and time'],
    ['{"jti":"a","exp":1893459600,"reason":1}', '"reason" must be a string'],
    [
      `{"jti":"a","exp":1893459600,"reason":"${"x".repeat(513)}"}`,
      '"reason" must be at most 512 bytes of UTF-8',
    ],
    [
      '{"jti":"a","exp":1893459600,"\\u001b[2J":1}',
      'unknown field "\\x1b[2J": ignore unknown fields with --ignore-unknown',
    ],
    [
      `{"jti":"a","exp":1893459600,"${"y".repeat(1000)}":1}`,
      `unknown field "${"y".repeat(40)}...": ignore unknown fields with --ignore-unknown`,
    ],
    [
      '{"jit":"a","exp":1893459600}',
      'unknown field "jit": did you mean "jti"? If not, ignore unknown fields with --ignore-unknown',
    ],
    [
      '{"jti":"a","expiresAt":1893459600}',
      'unknown field "expiresAt": did you mean "expires_at"? If not, ignore unknown fields with --ignore-unknown',
    ],
    ["x".repeat(70_000), "is longer than any token"],
  ];

  it("reports every invalid line with its problem, stores the others, and ends with 2", async () => {
    const stdin = WRONG.map(([text], index) => `${text}\n${line(`good ${index}`)}\n`).join("");
    const { exitCode, stdout, stderr } = await runAgainst(memory.script, IMPORT, { stdin });
    expect({ exitCode, row: rowOf(stdout), complaints: stderr.trimEnd().split("\n") }).to.deep.equal({
      exitCode: 2,
      row: row({ lines: 2 * WRONG.length, created: WRONG.length, refused: WRONG.length }),
      complaints: WRONG.map(([, problem], index) => `error: line ${2 * index + 1}: ${problem}`),
    });
    expect([...memory.entries.keys()]).to.have.members(WRONG.map((_, index) => `good ${index}`));
  });

  it("reports a hundred invalid lines, and counts the rest", async () => {
    const { stdout, stderr } = await runAgainst(memory.script, IMPORT, { stdin: "nonsense\n".repeat(2500) });
    const complaints = stderr.trimEnd().split("\n");
    expect({ row: rowOf(stdout), named: complaints.length, last: complaints.at(-1) }).to.deep.equal({
      row: row({ lines: 2500, refused: 2500 }),
      named: 101,
      last: "error: and 2400 more invalid lines",
    });
  });

  it("ignores unknown fields if configured", async () => {
    const stdin = '{"jti":"a","exp":1893459600,"sub":"someone","iat":1}\n';
    const { exitCode } = await runAgainst(memory.script, [...IMPORT, "--ignore-unknown"], { stdin });
    expect([exitCode, [...memory.entries.keys()]]).to.deep.equal([0, ["a"]]);
  });

  it("buffers at most the maximum length of an endless line, and continues after it", async () => {
    const chunk = Buffer.alloc(1024 * 1024, 0x78);
    async function* endless() {
      for (let count = 0; count < 200; count++) yield chunk;
      yield Buffer.from(`\n${line("after")}\n`);
    }
    const before = process.memoryUsage().arrayBuffers;
    const stdin = Readable.from(endless());
    const { exitCode, stderr } = await runAgainst(memory.script, IMPORT, { stdin });
    expect({ exitCode, stderr, entries: [...memory.entries.keys()] }).to.deep.equal({
      exitCode: 2,
      stderr: "error: line 1: is longer than any token\n",
      entries: ["after"],
    });
    expect(process.memoryUsage().arrayBuffers - before).to.be.below(50 * 1024 * 1024);
  });

  it("reports the line that is not UTF-8, and stores no altered token for it", async () => {
    const stdin = Buffer.concat([
      Buffer.from('{"jti":"a'),
      Buffer.from([0xff]),
      Buffer.from(`","exp":1893459600}\n${line("b")}\n`),
    ]);
    const { exitCode, stderr } = await runAgainst(memory.script, IMPORT, { stdin });
    expect({ exitCode, stderr, entries: [...memory.entries.keys()] }).to.deep.equal({
      exitCode: 2,
      stderr: "error: line 1: is not UTF-8\n",
      entries: ["b"],
    });
  });

  it("survives arbitrary lines, and stores exactly the well-formed ones", async () => {
    const fragment = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.json(),
      fc
        .record({ jti: fc.string({ unit: "grapheme" }), exp: fc.constant(IN_AN_HOUR) })
        .map((token) => JSON.stringify(token)),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(fragment, { minLength: 1, maxLength: 50 }), async (fragments) => {
        const fresh = new MemoryBlacklist();
        const texts = fragments.map((text) => text.replace(/[\r\n]/g, " "));
        const { exitCode, stdout, stderr } = await runAgainst(fresh.script, IMPORT, {
          stdin: texts.join("\n"),
        });
        fc.pre(texts.some((text) => text !== ""));
        const good = new Set(texts.flatMap(wellFormedJti));
        const { refused, lines: read } = rowOf(stdout);
        expect({ exitCode, stored: new Set(fresh.entries.keys()), read }).to.deep.equal({
          exitCode: refused > 0 ? 2 : 0,
          stored: good,
          read: texts.filter((text) => text !== "").length,
        });
        // biome-ignore lint/suspicious/noControlCharactersInRegex: none may reach a terminal
        expect(stderr).to.not.match(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
      }),
      { numRuns: 100 },
    );
  });

  it("skips expired tokens, and asks about an expiry at most once", async () => {
    const past = (NOW - HOUR) / 1000;
    const stdin = Array.from({ length: 5000 }, (_, index) =>
      line(`jti-${index}`, index % 3 === 0 ? past - (index % 100) : IN_AN_HOUR),
    ).join("\n");
    const { exitCode, stdout, stderr } = await runAgainst(memory.script, IMPORT, { stdin });
    expect({ exitCode, stderr, row: rowOf(stdout), stored: memory.entries.size }).to.deep.equal({
      exitCode: 0,
      stderr: "",
      row: row({ lines: 5000, created: 3333, expired: 1667 }),
      stored: 3333,
    });
    // Each of the concurrent batches may learn it separately.
    expect(memory.sizes.length).to.be.at.most(5 + 4);
  });

  it("reports the lines that the service rejects for other reasons, and stores the rest", async () => {
    memory = new MemoryBlacklist({ latest: NOW + 2 * HOUR });
    const far = (NOW + 3 * HOUR) / 1000;
    const stdin = Array.from({ length: 200 }, (_, index) =>
      line(`jti-${index}`, index % 2 === 0 ? far : IN_AN_HOUR),
    ).join("\n");
    const { exitCode, stdout, stderr } = await runAgainst(memory.script, IMPORT, { stdin });
    expect({ exitCode, row: rowOf(stdout), complaints: stderr.trimEnd().split("\n") }).to.deep.equal({
      exitCode: 2,
      row: row({ lines: 200, created: 100, refused: 100 }),
      complaints: Array.from(
        { length: 100 },
        (_, index) => `error: line ${2 * index + 1}: "expires_at" must not expire further ahead`,
      ),
    });
  });

  it("does not mistake another rejection of an expiry for an expired token", async () => {
    const script: Script = {
      blacklist: () => {
        throw invalidRequest([{ field: "tokens[0].expires_at", description: "must be liked" }]);
      },
    };
    const { exitCode, stdout } = await runAgainst(script, IMPORT, { stdin: line("a", 1_500_000_000) });
    expect([exitCode, rowOf(stdout)]).to.deep.equal([2, row({ lines: 1, refused: 1 })]);
  });

  it("sends batches of 1000, four concurrently", async () => {
    let open = 0;
    let most = 0;
    let begun = 0;
    const script: Script = {
      blacklist: async (request) => {
        begun++;
        most = Math.max(most, ++open);
        // Responses wait until the maximum number of batches is in flight, or the input has ended. A fifth would have arrived by then.
        await until(() => most >= 4 || begun === 10, { withinMs: 20_000, what: "four are under way" });
        await new Promise((resolve) => setTimeout(resolve, 20));
        open -= 1;
        return memory.blacklist(request);
      },
    };
    const { exitCode } = await runAgainst(script, IMPORT, { stdin: lines(10_000) });
    expect({ exitCode, most, sizes: memory.sizes }).to.deep.equal({
      exitCode: 0,
      most: 4,
      sizes: Array(10).fill(1000),
    });
  });

  it("continues after an outage once a call has succeeded", async () => {
    let calls = 0;
    const script: Script = {
      blacklist: (request) => {
        calls++;
        if (calls > 4 && calls < 12) throw storeUnavailable("away");
        return memory.blacklist(request);
      },
    };
    const { exitCode, stdout } = await runAgainst(script, IMPORT, {
      stdin: lines(20_000),
      io: { clock: systemClock },
    });
    expect([exitCode, rowOf(stdout)]).to.deep.equal([0, row({ lines: 20_000, created: 20_000 })]);
  });

  it("ends with 69 at once if the service was never reachable", async () => {
    const script: Script = {
      blacklist: () => {
        throw storeUnavailable("away");
      },
    };
    const { exitCode, stdout, stderr } = await runAgainst(script, IMPORT, { stdin: lines(1) });
    expect({ exitCode, stdout, last: stderr.trimEnd().split("\n").at(-1) }).to.deep.equal({
      exitCode: 69,
      stdout: "",
      last: "It is not certain whether anything was stored. Repeat the command: that is safe.",
    });
  });

  it("leaves no checkpoint and reports nothing stored if the service was never reachable", async () => {
    const folder = await freshFolder();
    const file = join(folder, "blacklist.ndjson");
    await writeFile(file, lines(3));
    const results = [];
    for (const address of ["no-such-host.invalid:50051", `127.0.0.1:${await freePort()}`]) {
      const { exitCode, stdout, stderr } = await runCli(["import", file, "--address", address]);
      results.push({
        exitCode,
        stdout,
        last: stderr.trimEnd().split("\n").at(-1),
        left: await readdir(folder),
      });
    }
    const nothing = {
      exitCode: 69,
      stdout: "",
      last: "Nothing was imported. Repeat the command once the cause is fixed.",
      left: ["blacklist.ndjson"],
    };
    expect(results).to.deep.equal([nothing, nothing]);
  });

  it("ends with 2 if the input is empty, which is probably a mistake", async () => {
    const folder = await freshFolder();
    const file = join(folder, "empty.ndjson");
    await writeFile(file, "\n\n");
    const fromFile = await runAgainst(memory.script, ["import", file]);
    const fromInput = await runAgainst(memory.script, IMPORT, { stdin: "" });
    expect(
      [fromFile, fromInput].map(({ exitCode, stdout, stderr }) => [exitCode, stdout, stderr]),
    ).to.deep.equal([
      [2, "", `error: ${file} contains no lines: nothing was imported\n`],
      [2, "", "error: standard input contains no lines: nothing was imported\n"],
    ]);
    expect(await readdir(folder)).to.deep.equal(["empty.ndjson"]);
  });

  it("ends with 2 if the file does not exist", async () => {
    const path = join(await freshFolder(), "none");
    const { exitCode, stderr } = await runAgainst(memory.script, ["import", path]);
    expect([exitCode, stderr]).to.deep.equal([2, `error: ${path} cannot be read (ENOENT)\n`]);
  });
});

/** The expected effect of a line, computed independently. */
function wellFormedJti(text: string): string[] {
  try {
    const { jti, exp, ...others } = JSON.parse(text) as Record<string, unknown>;
    const isToken =
      typeof jti === "string" &&
      jti.isWellFormed() &&
      !jti.includes("\0") &&
      Object.keys(others).length === 0;
    const bytes = Buffer.byteLength(String(jti));
    return isToken && bytes >= 1 && bytes <= 255 && exp === IN_AN_HOUR ? [jti] : [];
  } catch {
    return [];
  }
}
