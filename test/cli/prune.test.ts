import { expect } from "chai";
import type { PruneRequest } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { storeUnavailable } from "../../src/errors.ts";
import type { Script } from "../client/scripted-service.ts";
import { NOW } from "./run-cli.ts";
import { runAgainst } from "./with-service.ts";

/** Returns the next of `counts` for each call, with has_more until the last. */
function pruning(...counts: number[]): Script {
  const left = [...counts];
  return { prune: () => ({ prunedCount: left.shift() ?? 0, hasMore: left.length > 0 }) };
}

function asked(service: { calls: readonly { request: object }[] }) {
  return service.calls.map(({ request }) => {
    const { maxCount, dryRun, expiredBefore } = request as PruneRequest;
    return { maxCount, dryRun, before: expiredBefore?.seconds };
  });
}

describe("prune", () => {
  it("calls once, and reports that there is more", async () => {
    const { exitCode, stdout, stderr, service } = await runAgainst(pruning(5, 1), [
      "prune",
      "--max-count",
      "5",
    ]);
    expect({ exitCode, stdout, stderr, asked: asked(service) }).to.deep.equal({
      exitCode: 0,
      stdout: "PRUNED  MORE LEFT\n5       yes\n",
      stderr: "There is more to prune: repeat, or use --all.\n",
      asked: [{ maxCount: 5, dryRun: false, before: undefined }],
    });
  });

  it("repeats with --all until nothing is left", async () => {
    const argv = ["prune", "--all", "--expired-before", "30d", "--output", "ndjson"];
    const { exitCode, stdout, stderr, service } = await runAgainst(pruning(5, 0, 5, 2), argv);
    const call = { maxCount: 0, dryRun: false, before: BigInt(NOW / 1000 - 30 * 86_400) };
    expect({ exitCode, stdout, stderr, asked: asked(service) }).to.deep.equal({
      exitCode: 0,
      stdout: '{"pruned_count":12,"has_more":false,"dry_run":false}\n',
      stderr: "",
      asked: [call, call, call, call],
    });
  });

  it("stops with --all if the service deletes nothing although there is more", async () => {
    const { exitCode, stderr, service } = await runAgainst({ prune: () => ({ hasMore: true }) }, [
      "prune",
      "--all",
    ]);
    expect({ exitCode, stderr, calls: service.calls.length }).to.deep.equal({
      exitCode: 70,
      stderr: "error: there is more to prune, but the service deletes nothing: see its log\n",
      calls: 3,
    });
  });

  it("counts with one call in a dry run, however many entries there are", async () => {
    const { exitCode, stdout, service } = await runAgainst(pruning(100_000, 1), [
      "prune",
      "--all",
      "--dry-run",
    ]);
    expect({ exitCode, stdout, asked: asked(service) }).to.deep.equal({
      exitCode: 0,
      stdout: "WOULD PRUNE  MORE LEFT\n100000       yes\n",
      asked: [{ maxCount: 100_000, dryRun: true, before: undefined }],
    });
  });

  it("reports how many were pruned if a later call fails", async () => {
    let calls = 0;
    const script: Script = {
      prune: () => {
        calls += 1;
        if (calls > 2) throw storeUnavailable("away");
        return { prunedCount: 7, hasMore: true };
      },
    };
    const { exitCode, stdout, stderr } = await runAgainst(script, ["prune", "--all"]);
    expect({ exitCode, stdout, last: stderr.trimEnd().split("\n").at(-1) }).to.deep.equal({
      exitCode: 69,
      stdout: "",
      last: "At least 14 pruned. Repeating the command is safe.",
    });
  });
});
