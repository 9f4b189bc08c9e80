import { expect } from "chai";
import type { Principal } from "../../../src/caller.ts";
import { storeUnavailable } from "../../../src/errors.ts";
import { CheckCallStage } from "../../support/check-call-stage.ts";
import { parseMetrics } from "../../support/scrape.ts";

describe("the streams of StreamChecks", () => {
  let stage: CheckCallStage;

  beforeEach(async () => {
    stage = await CheckCallStage.open();
  });
  afterEach(() => stage.close());

  it("are counted and logged as streams of StreamChecks, and their questions as calls of IsBlacklisted", async () => {
    const asker = stage.asker();
    stage.authenticate = () => ({ name: "gateway", roles: new Set(["check"]) }) as unknown as Principal;
    const outcomes = stage.askMany(asker, 4);
    await stage.reached(4);
    stage.clock.advance(40);
    stage.asked[0]?.answer();
    stage.asked[1]?.fail(storeUnavailable("the database is away"));
    stage.asked[2]?.fail(new Error("unforeseen"));
    await Promise.all(outcomes.slice(0, 3));
    stage.clock.advance(60);
    asker.cancel();
    await stage.nothingIsLeft();
    const scraped = parseMetrics((await stage.metrics.render()).text);
    const seen = (name: string) =>
      Object.fromEntries(
        (scraped.get(name)?.series ?? [])
          .filter(({ labels, value }) => value > 0 && labels.le === undefined)
          .map(({ name: series, labels, value }) => {
            expect([labels.grpc_type, labels.grpc_service]).to.deep.equal([
              "bidi_stream",
              "tokenblacklist.v1.TokenBlacklist",
            ]);
            const { grpc_method, grpc_code = series } = labels;
            return [`${grpc_method} ${grpc_code}`, Math.round(value * 1000) / 1000];
          }),
      );
    expect([
      seen("grpc_server_started_total"),
      seen("grpc_server_handled_total"),
      seen("grpc_server_handling_seconds"),
    ]).to.deep.equal([
      { "StreamChecks grpc_server_started_total": 1, "IsBlacklisted grpc_server_started_total": 4 },
      {
        "StreamChecks Canceled": 1,
        "IsBlacklisted OK": 1,
        "IsBlacklisted Unavailable": 1,
        "IsBlacklisted Internal": 1,
        "IsBlacklisted Canceled": 1,
      },
      {
        "StreamChecks grpc_server_handling_seconds_count": 1,
        "StreamChecks grpc_server_handling_seconds_sum": 0.1,
        "IsBlacklisted grpc_server_handling_seconds_count": 4,
        "IsBlacklisted grpc_server_handling_seconds_sum": 0.22,
      },
    ]);
    const calling = { msg: "call", caller: "gateway" };
    expect(
      stage.log.records().map(({ peer, err, ...rest }) => {
        expect(peer).to.match(/^127\.0\.0\.1:\d+$/);
        return err === undefined ? rest : { ...rest, err: (err as { message: string }).message };
      }),
    ).to.deep.equal([
      {
        ...{ ...calling, level: "debug", method: "IsBlacklisted", code: "OK", duration_ms: 40 },
        ...{ count: 1, blacklisted: 0, unknown: 0 },
      },
      {
        ...{ ...calling, level: "warn", method: "IsBlacklisted", code: "UNAVAILABLE", duration_ms: 40 },
        ...{ reason: "STORE_UNAVAILABLE", detail: "the database is away" },
      },
      {
        ...{ ...calling, level: "error", method: "IsBlacklisted", code: "INTERNAL", duration_ms: 40 },
        ...{ reason: "INTERNAL", detail: "internal error", err: "unforeseen" },
      },
      { ...calling, level: "info", method: "IsBlacklisted", code: "CANCELLED", duration_ms: 100 },
      { ...calling, level: "info", method: "StreamChecks", code: "CANCELLED", duration_ms: 100 },
    ]);
    stage.log.lines.splice(0);
    await stage.asker().done();
    expect(stage.log.records().map(({ level, method, code }) => [level, method, code])).to.deep.equal([
      ["debug", "StreamChecks", "OK"],
    ]);
  });
});
