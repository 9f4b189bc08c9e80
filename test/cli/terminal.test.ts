import { Writable } from "node:stream";
import { expect } from "chai";
import {
  BlacklistResult_Outcome as Outcome,
  Verdict,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import type { Script } from "../client/scripted-service.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { runAgainst } from "./with-service.ts";

const VERDICTS = [Verdict.BLACKLISTED, Verdict.NOT_BLACKLISTED, Verdict.UNKNOWN];
const CHECK: Script = { isBlacklisted: ({ jtis }) => ({ verdicts: VERDICTS.slice(0, jtis.length) }) };

describe("output to a terminal", () => {
  it("escapes callers' text in every cell", async () => {
    const script: Script = {
      list: () => ({
        tokens: [{ jti: "\x1b]0;x\x07", reason: "a\nb\u202e\u0085\x7f", revokedBy: " \\\u200b\u00a0" }],
      }),
    };
    const { stdout } = await runAgainst(script, ["list"], { terminals: ["stdout", "stderr"] });
    expect(stdout.split("\n")[1]).to.equal(
      "\\x1b]0;x\\x07  unknown  unknown  \\x20\\\\\\u200b\\u00a0  a\\nb\\u202e\\u0085\\x7f",
    );
  });

  it("escapes the same characters in JSON, which parses to the same text", async () => {
    const reason = "a\nb\u202e\u0085\x7f\u{e0041}";
    const script: Script = { list: () => ({ tokens: [{ jti: "a", reason }] }) };
    const { stdout } = await runAgainst(script, ["list", "--output", "ndjson"]);
    expect({ shown: /"reason":"([^"]*)"/.exec(stdout)?.[1], read: JSON.parse(stdout).reason }).to.deep.equal({
      shown: "a\\nb\\u202e\\u0085\\u007f\\udb40\\udc41",
      read: reason,
    });
  });

  it("aligns columns by displayed width", async () => {
    const { stdout } = await runAgainst(CHECK, ["check", "漢字", "e\u0301", "abcde"]);
    expect(stdout).to.equal(
      "JTI    VERDICT\n漢字   blacklisted\ne\u0301      not blacklisted\nabcde  unknown\n",
    );
  });

  it("colours verdicts only there", async () => {
    const colour = async (setup: Parameters<typeof runAgainst>[2]) =>
      (await runAgainst(CHECK, ["check", "a"], setup)).stdout.includes("\x1b[31mblacklisted\x1b[0m");
    expect([
      await colour({ terminals: ["stdout"] }),
      await colour({ terminals: ["stdout"], io: { env: { NO_COLOR: "1" } } }),
      await colour({ terminals: ["stdout"], io: { env: { TERM: "dumb" } } }),
      await colour({ terminals: ["stderr"] }),
    ]).to.deep.equal([true, false, false, false]);
  });

  it("shows progress in one temporary line, only on standard error, and only there", async () => {
    const clock = new FakeClock();
    const script: Script = {
      blacklist: ({ tokens }) => {
        clock.advance(1000);
        const results = tokens.map(({ token }) => ({
          token: { jti: token.value as string },
          outcome: Outcome.CREATED,
        }));
        return { results };
      },
    };
    const argv = ["blacklist", "a", "b", "--expires-at", "1h"];
    const watched = await runAgainst(script, argv, { terminals: ["stderr"], io: { clock } });
    const unwatched = await runAgainst(script, argv, { io: { clock } });
    expect([watched.stderr, unwatched.stderr]).to.deep.equal([
      "\r\x1b[2K2 of 2 blacklisted, 2/s\r\x1b[2K2 tokens were blacklisted: 2 created.\n",
      "",
    ]);
  });
});

describe("a reader that closes the output early", () => {
  /** Reads the first line and closes. */
  function head(): Writable {
    let lines = 0;
    return new Writable({
      write(_, __, done) {
        lines += 1;
        done(lines > 1 ? Object.assign(new Error("write EPIPE"), { code: "EPIPE" }) : null);
      },
    });
  }

  it("ends list silently, without fetching the rest", async () => {
    const script: Script = { list: () => ({ tokens: [{ jti: "a" }], nextPageToken: "more" }) };
    const { exitCode, stderr, service } = await runAgainst(script, ["list", "--all"], {
      io: { stdout: head() },
    });
    expect({ exitCode, stderr, calls: service.calls.length }).to.deep.equal({
      exitCode: 0,
      stderr: "",
      calls: 2,
    });
  });

  it("does not keep check from finding a blacklisted token", async () => {
    const script: Script = {
      isBlacklisted: ({ jtis }) => ({
        verdicts: jtis.map((jti) => (jti === "last" ? Verdict.BLACKLISTED : Verdict.NOT_BLACKLISTED)),
      }),
    };
    const stdin = `${"a\n".repeat(3000)}last\n`;
    const { exitCode, stderr } = await runAgainst(script, ["check", "-"], { stdin, io: { stdout: head() } });
    expect({ exitCode, stderr }).to.deep.equal({ exitCode: 1, stderr: "" });
  });

  it("is distinguished from a full disk", async () => {
    const stdout = new Writable({
      write: (_, __, done) => done(Object.assign(new Error("no space left on device"), { code: "ENOSPC" })),
    });
    const { exitCode, stderr } = await runAgainst(CHECK, ["check", "a"], { io: { stdout } });
    expect({ exitCode, stderr }).to.deep.equal({ exitCode: 70, stderr: "error: no space left on device\n" });
  });
});
