import { expect } from "chai";
import { Verdict } from "../../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { type Principal, UNAUTHENTICATED_PRINCIPAL, UNRESTRICTED_PRINCIPAL } from "../../../src/caller.ts";
import { ServiceError, storeUnavailable, unauthenticated } from "../../../src/errors.ts";
import { MAX_QUESTION_METADATA, MAX_QUESTION_METADATA_BYTES } from "../../../src/limits.ts";
import { CheckCallStage, FINE, late, PATIENCE, refusal } from "../../support/check-call-stage.ts";
import { turn } from "../../support/held-store.ts";
import { ends } from "../../support/stream-end.ts";
import { until } from "../../support/until.ts";

describe("the streams of StreamChecks and errors", () => {
  let stage: CheckCallStage;

  beforeEach(async () => {
    stage = await CheckCallStage.open();
  });
  afterEach(() => stage.close());

  it("a failed question has the status of a failed call, and the others are unaffected", async () => {
    const asker = stage.asker();
    const outcomes = stage.askMany(asker, 5);
    await stage.reached(5);
    stage.asked[0]?.fail(storeUnavailable("the database is away"));
    stage.asked[1]?.fail(new Error("unexpected s3cret"));
    // Not expressible in this format.
    stage.asked[2]?.answer({ verdicts: ["x" as unknown as Verdict], revision: "r" });
    stage.asked[3]?.fail(new ServiceError("REVISION_LOST", "it is lost"));
    stage.asked[4]?.answer();
    const internal = refusal("INTERNAL", { message: "internal error", retryAfterMs: undefined });
    expect(await Promise.all(outcomes)).to.deep.equal([
      refusal("UNAVAILABLE", {
        reason: "STORE_UNAVAILABLE",
        message: "the database is away",
        retryAfterMs: 500,
      }),
      internal,
      internal,
      refusal("FAILED_PRECONDITION", {
        reason: "REVISION_LOST",
        message: "it is lost",
        retryAfterMs: undefined,
      }),
      FINE,
    ]);
    expect(await asker.done()).to.deep.equal(ends("OK"));
    expect(stage.log.lines.filter((line) => line.includes("s3cret"))).to.have.length(1);
  });

  it("an error that is thrown synchronously is no different", async () => {
    const asker = stage.asker();
    stage.atOnce = () => {
      throw storeUnavailable("the database is away");
    };
    expect(await asker.verdicts("a")).to.equal("STORE_UNAVAILABLE");
    stage.atOnce = () => FINE;
    expect([await asker.verdicts("a"), stage.admission.active]).to.deep.equal([[Verdict.NOT_BLACKLISTED], 0]);
    asker.cancel();
  });

  it("a malformed message ends the stream, and earlier questions get no answer", async () => {
    const asker = stage.asker();
    const outcome = asker.ask({ jtis: ["a"] });
    await stage.reached(1);
    asker.stream.write(Buffer.from([0xff]));
    expect([await asker.ended, await outcome, stage.asked[0]?.caller.isGone]).to.deep.equal([
      ends("INVALID_ARGUMENT", "INVALID_REQUEST", ""),
      "unanswered",
      true,
    ]);
    stage.asked[0]?.answer();
    await stage.nothingIsLeft();
    expect(stage.disconnected).to.deep.equal([]);
  });

  it("a failed authentication is reported: at the start of the stream, and for each question", async () => {
    for (const answer of [
      () => Promise.reject(new Error("unforeseen")),
      () => {
        throw new Error("unforeseen");
      },
    ]) {
      stage.authenticate = answer;
      expect(await stage.asker().ended).to.deep.equal(ends("INTERNAL", "INTERNAL"));
    }
    stage.authenticate = () => UNRESTRICTED_PRINCIPAL;
    stage.atOnce = () => FINE;
    const asker = stage.asker();
    const seen: unknown[] = [await asker.verdicts("a")];
    const told: (() => Principal | Promise<Principal>)[] = [
      () => Promise.reject(unauthenticated("the token has expired")),
      () => {
        throw unauthenticated("the token has expired");
      },
      () => UNAUTHENTICATED_PRINCIPAL,
      async () => UNAUTHENTICATED_PRINCIPAL,
      () => Promise.reject(new Error("unforeseen")),
      async () => UNRESTRICTED_PRINCIPAL,
    ];
    for (const authenticate of told) {
      stage.authenticate = authenticate;
      seen.push(await asker.verdicts("a"));
    }
    const good = [Verdict.NOT_BLACKLISTED];
    expect(seen).to.deep.equal([
      ...[good, "UNAUTHENTICATED", "UNAUTHENTICATED", "PERMISSION_DENIED", "PERMISSION_DENIED"],
      ...["INTERNAL", good],
    ]);
    expect([await asker.done(), stage.admission.active]).to.deep.equal([ends("OK"), 0]);
  });

  it("a question times out while its caller is being authenticated", async () => {
    stage.atOnce = () => FINE;
    const asker = stage.asker();
    await asker.verdicts("a");
    let know = (_: Principal) => {};
    let isAsked = false;
    stage.authenticate = () => {
      isAsked = true;
      return new Promise((resolve) => {
        know = resolve;
      });
    };
    const outcome = asker.ask({ jtis: ["b"] }, { timeoutMs: 100 });
    await until(() => isAsked, { ...PATIENCE, what: "the caller is being authenticated" });
    stage.clock.advance(100);
    expect(await outcome).to.deep.equal(late(100));
    know(UNRESTRICTED_PRINCIPAL);
    await turn();
    expect([await asker.done(), asker.answered.length]).to.deep.equal([ends("OK"), 2]);
  });

  it("metadata out of bounds or with credentials is refused, for that question alone", async () => {
    stage.atOnce = () => FINE;
    const asker = stage.asker();
    const named = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`name-${index}`, "x"]));
    const most = { traceparent: "x".repeat(MAX_QUESTION_METADATA_BYTES - "traceparent".length) };
    const cases: [metadata: Record<string, string>, text: string][] = [
      [named(MAX_QUESTION_METADATA + 1), "must have at most 16 names"],
      [named(5000), "must have at most 16 names"],
      [{ ...most, a: "" }, "must have at most 8192 bytes, names included"],
      [
        { Authorization: "Bearer x" },
        "must not have the name authorization: credentials are those of the stream",
      ],
    ];
    const question = { jtis: ["a"] };
    const refused = await Promise.all(cases.map(([metadata]) => asker.ask(question, { metadata })));
    const accepted = [most, named(MAX_QUESTION_METADATA), {}].map((metadata) =>
      asker.ask(question, { metadata }),
    );
    expect([refused, await Promise.all(accepted), stage.admission.active]).to.deep.equal([
      cases.map(([, text]) =>
        refusal("INVALID_ARGUMENT", {
          reason: "INVALID_REQUEST",
          message: `metadata.values: ${text}`,
          violations: [["metadata.values", text]],
          retryAfterMs: undefined,
        }),
      ),
      [FINE, FINE, FINE],
      0,
    ]);
    expect(await asker.done()).to.deep.equal(ends("OK"));
  });
});
