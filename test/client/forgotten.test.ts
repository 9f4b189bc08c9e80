import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect } from "chai";
import { Verdict } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { type HeldStream, holdStreams } from "./held-streams.ts";
import { type ScriptedOptions, type ScriptedService, startScripted } from "./scripted-service.ts";

const PROGRAM = fileURLToPath(new URL("forgetful.ts", import.meta.url));
const run = promisify(execFile);

describe("a process that does not close its client", function () {
  this.slow(10_000);
  this.timeout(60_000);
  let service: ScriptedService;
  afterEach(() => service.stop());

  /** The output of the process when it ended by itself; after half a minute it is killed, which fails the test. */
  async function told(options: ScriptedOptions, timeoutMs = 5000): Promise<string> {
    service = await startScripted(
      { isBlacklisted: () => ({ verdicts: [Verdict.BLACKLISTED], revision: "r" }) },
      options,
    );
    const args = ["--import", "tsx", PROGRAM, service.address, `${timeoutMs}`];
    const { stdout } = await run(process.execPath, args, { timeout: 30_000, killSignal: "SIGKILL" });
    return stdout;
  }

  for (const streams of [true, false]) {
    it(`ends by itself soon after its last check, over ${streams ? "a stream" : "calls"}`, async () => {
      expect([await told({ streams }), service.streams.begun]).to.deep.equal(["true", streams ? 1 : 0]);
    });
  }

  it("ends by itself if the service does not end its stream", async () => {
    const answering: ScriptedOptions["streams"] = (call) => {
      const { streams, take } = holdStreams();
      take(call);
      const stream = streams[0] as HeldStream;
      call.on("data", ({ id }) => stream.answer(id, Verdict.BLACKLISTED));
    };
    expect(await told({ streams: answering })).to.equal("true");
  });

  it("ends by itself if the service's streams never respond", async () => {
    const { streams, take } = holdStreams();
    expect([await told({ streams: take }, 400), streams.length]).to.deep.equal(["DEADLINE_EXCEEDED", 1]);
  });
});
