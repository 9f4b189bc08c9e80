import { join } from "node:path";
import { expect } from "chai";
import fc from "fast-check";
import { ServiceError, StartError, storeUnavailable } from "../../src/errors.ts";
import { createLogger } from "../../src/logging/logger.ts";
import { openEngine } from "../../src/store/open-store.ts";
import { memoryLog } from "../support/memory-log.ts";
import { rejection } from "../support/rejection.ts";
import { freshFolder } from "../support/shared.ts";

const CANARY = "c4n4ry";

describe("createLogger", () => {
  it("writes the level, the time in UTC, the fields and the message", () => {
    const { log, lines } = memoryLog();
    log.warn({ pruned: 3 }, "pruned");
    const { time, ...record } = JSON.parse(lines[0] as string);
    expect(record).to.deep.equal({ level: "warn", pruned: 3, msg: "pruned" });
    expect(time).to.match(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  });

  it("omits lines below its level", () => {
    const lines: string[] = [];
    const log = createLogger("warn", { write: (line) => void lines.push(line) });
    log.info("not this");
    log.error("but this");
    expect(lines.map((line) => JSON.parse(line).msg)).to.deep.equal(["but this"]);
  });

  it("writes one JSON object per line for any input", () => {
    const text = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.constantFrom(
        "\n",
        "\r\n",
        "\u2028",
        "\0",
        '"}\n{"level":"fatal"}',
        "\uD800",
        "a\nb".repeat(30),
        "%s %d %j",
      ),
    );
    fc.assert(
      fc.property(text, text, text, (message, field, code) => {
        const { log, lines } = memoryLog();
        const failure = Object.assign(new Error(message, { cause: new Error(field) }), { code });
        log.error({ field, err: failure }, message);
        expect(lines).to.have.length(1);
        const line = lines[0] as string;
        const { msg, field: logged, err } = JSON.parse(line);
        expect(line.indexOf("\n")).to.equal(line.length - 1);
        expect([msg, logged, err.message, err.code, err.cause.message].map(wellFormed)).to.deep.equal(
          [message, field, message, code, field].map(wellFormed),
        );
      }),
    );
  });

  it("escapes invisible characters and terminal controls everywhere, as the command's JSON does", () => {
    const hidden = [
      ...[
        "\u0007",
        "\u001b[2J",
        "\u007f",
        "\u0085",
        "\u009b31m",
        "\u00a0",
        "\u00ad",
        "\u061c",
        "\u115f",
        "\u180e",
      ],
      ...["\u200b", "\u200d", "\u200e", "\u202e", "\u2028", "\u2029", "\u2066", "\u2800", "\u3000", "\ufeff"],
      ...["\ufff9", "\ud800", "\udfff", "\u{e0041}", "\u{1d173}"],
    ];
    for (const text of hidden) {
      const { log, lines } = memoryLog();
      const failure = Object.assign(new Error(text, { cause: new Error(text) }), { code: text });
      log.child({ bound: text }).error({ [text]: { deep: [text] }, err: failure }, `seen ${text}`);
      const line = lines[0] as string;
      expect(line.slice(0, -1), JSON.stringify(text)).to.match(/^[ -~]+$/);
      const { bound, msg, err, ...record } = JSON.parse(line);
      expect([bound, msg, err.message, err.code, err.cause.message, record[text]]).to.deep.equal([
        text,
        `seen ${text}`,
        text,
        text,
        text,
        { deep: [text] },
      ]);
    }
  });

  it("leaves visible text unchanged", () => {
    const { log, lines } = memoryLog();
    const text = "Zürich 東京 \u05d0 😀 \\ \" '";
    log.info({ text }, text);
    expect(lines[0])
      .to.include(`"text":${JSON.stringify(text)}`)
      .and.to.include(`"msg":${JSON.stringify(text)}`);
  });

  it("reduces a driver's error to identifying fields at every depth", () => {
    const { log, lines, records } = memoryLog();
    const driver = Object.assign(new Error("Deadlock found", { cause: new TypeError("below") }), {
      code: "ER_LOCK_DEADLOCK",
      errno: 1213,
      sql: `INSERT INTO blacklisted_tokens VALUES ('${CANARY}')`,
      sqlMessage: CANARY,
      parameters: [CANARY],
      bindings: [CANARY],
      config: { password: CANARY },
    });
    log.error({ err: storeUnavailable("the database cannot be reached", driver) }, "call");
    expect(records()).to.deep.equal([
      {
        level: "error",
        err: {
          type: "ServiceError",
          message: "the database cannot be reached",
          cause: {
            type: "Error",
            message: "Deadlock found",
            code: "ER_LOCK_DEADLOCK",
            cause: { type: "TypeError", message: "below" },
          },
        },
        msg: "call",
      },
    ]);
    log.error({ err: driver }, "call");
    expect(lines.join()).not.to.include(CANARY);
  });

  it("contains no values of a failed statement", async () => {
    const engine = openEngine({ kind: "sqlite", filename: join(await freshFolder(), "tokens.db") });
    try {
      const failing = engine.knex("no_such_table").where({ jti: CANARY });
      const failure = await rejection(failing.then());
      const { log, lines } = memoryLog();
      log.error({ err: failure }, "bare");
      log.error({ err: storeUnavailable("the database cannot be reached", failure) }, "wrapped");
      expect(lines.join("")).to.include("no such table").and.not.to.include(CANARY);
    } finally {
      await engine.close();
    }
  });

  it("writes the stack only of unexpected errors", () => {
    const { log, records } = memoryLog();
    log.error({ err: new TypeError("x is undefined") }, "unforeseen");
    log.error({ err: new ServiceError("NOT_FRESH", "read-only", { cause: new Error("why") }) }, "foreseen");
    const stacks = records().map(({ err }) => (err as { stack?: string }).stack);
    expect(stacks[0]).to.match(/^TypeError: x is undefined\n\s+at /);
    expect(stacks[1]).to.equal(undefined);
    expect(JSON.stringify(records()[1])).not.to.include("    at ");
  });

  it("handles an endless chain of causes, and values that are not errors", () => {
    const { log, records } = memoryLog();
    const first = new StartError("a");
    const second = new Error("b", { cause: first });
    first.cause = second;
    first.stack = "stack";
    log.error({ err: first }, "circle");
    for (const thrown of [CANARY, null, 7, { toString: () => CANARY }]) log.error({ err: thrown }, "odd");
    const a = { type: "StartError", message: "a" };
    const b = { type: "Error", message: "b" };
    expect(records()).to.deep.equal([
      {
        level: "error",
        err: { ...a, stack: "stack", cause: { ...b, cause: { ...a, cause: { ...b, cause: a } } } },
        msg: "circle",
      },
      ...["string", "object", "number", "object"].map((type) => ({
        level: "error",
        err: { type, message: "not an Error" },
        msg: "odd",
      })),
    ]);
  });
});

/** JSON has two representations of a lone surrogate. */
function wellFormed(text: string): string {
  return text.toWellFormed();
}
