import { status } from "@grpc/grpc-js";
import { expect } from "chai";
import { Verdict } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import type { OnUnavailable } from "../../src/client/unavailable-policy.ts";
import { type Reason, ServiceError } from "../../src/errors.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { until } from "../support/until.ts";
import { Stage } from "./opened.ts";

const CHOICES: readonly OnUnavailable[] = ["throw", "deny", "allow"];

describe("a check without an available verdict", () => {
  const stage = new Stage();
  afterEach(() => stage.close());

  const told = (check: Promise<boolean>) =>
    check.then(
      (answer) => answer,
      ({ code }: { code: string }) => code,
    );

  /** The result of each policy for this response of the service. */
  async function outcomes(answer: () => never | { code: number }): Promise<unknown[]> {
    return Promise.all(
      CHOICES.map(async (onUnavailable) => {
        const { client } = await stage.scripted({ isBlacklisted: answer as never }, { onUnavailable });
        // Long enough for all attempts.
        return told(client.isBlacklisted("a", { timeoutMs: 20_000 }));
      }),
    );
  }

  for (const code of [
    "UNAVAILABLE",
    "DEADLINE_EXCEEDED",
    "RESOURCE_EXHAUSTED",
    "INTERNAL",
    "UNKNOWN",
    "UNIMPLEMENTED",
    "UNAUTHENTICATED",
    "PERMISSION_DENIED",
    "ABORTED",
    "DATA_LOSS",
  ] as const) {
    it(`for ${code} rejects, is true or is false, as configured`, async () => {
      expect(await outcomes(() => ({ code: status[code], details: "" }))).to.deep.equal([code, true, false]);
    });
  }

  it("for a call that the service cancelled is not treated as cancelled by its caller", async () => {
    expect(await outcomes(() => ({ code: status.CANCELLED, details: "" }))).to.deep.equal([
      "UNAVAILABLE",
      true,
      false,
    ]);
  });

  it("for a malformed response rejects, is true or is false, as configured", async () => {
    expect(await outcomes(() => ({ verdicts: [], revision: "" }) as never)).to.deep.equal([
      "INTERNAL",
      true,
      false,
    ]);
  });

  for (const reason of ["INVALID_REQUEST", "REVISION_LOST"] as const satisfies readonly Reason[]) {
    it(`for ${reason} always rejects: the request was invalid`, async () => {
      const codes = await outcomes(() => {
        throw new ServiceError(reason, "no");
      });
      const code = reason === "INVALID_REQUEST" ? "INVALID_ARGUMENT" : "FAILED_PRECONDITION";
      expect(codes).to.deep.equal([code, code, code]);
    });
  }

  it("always rejects for an invalid jti, without a call", async () => {
    for (const onUnavailable of CHOICES) {
      const { client, service } = await stage.scripted({}, { onUnavailable });
      const odd = [undefined, null, 7, "", "\ud800", "a\0b", "a".repeat(256)];
      const codes = await Promise.all(odd.map((jti) => told(client.isBlacklisted(jti as string))));
      expect({ codes, calls: service.calls }).to.deep.equal({
        codes: Array(odd.length).fill("INVALID_ARGUMENT"),
        calls: [],
      });
    }
  });

  it("is never allowed for a token that is known to be blacklisted", async () => {
    let isAway = false;
    const { client } = await stage.scripted(
      {
        isBlacklisted: ({ jtis }) => {
          if (isAway) throw new ServiceError("STORE_UNAVAILABLE", "away");
          // Beside a blacklisted one, the others may be unknown.
          return {
            verdicts: jtis.map((jti) => (jti === "bad" ? Verdict.BLACKLISTED : Verdict.UNKNOWN)),
            revision: "r",
          };
        },
      },
      { onUnavailable: "allow" },
    );
    await until(() => client.state === "ready", { withinMs: 5000, what: "the client is connected" });
    const timeoutMs = 600;
    const mixed = await client.areBlacklisted(["a", "bad", "b"], { timeoutMs });
    isAway = true;
    const later = await Promise.all(["a", "bad"].map((jti) => client.isBlacklisted(jti, { timeoutMs })));
    expect([mixed, later]).to.deep.equal([
      [false, true, false],
      [false, true],
    ]);
  });

  it("is not allowed either when the token became known while the check was in flight", async () => {
    const { client } = await stage.scripted(
      {
        isBlacklisted: ({ freshness, jtis }) => {
          if (freshness.case === undefined)
            throw new ServiceError("STORE_UNAVAILABLE", "away", { retryAfterMs: 0 });
          return { verdicts: jtis.map(() => Verdict.BLACKLISTED), revision: "r" };
        },
      },
      { onUnavailable: "allow" },
    );
    const fresh = client.isBlacklisted("bad", { timeoutMs: 20_000 });
    await client.isBlacklisted("bad", { timeoutMs: 20_000, maxStalenessMs: 5000 });
    expect(await fresh).to.equal(true);
  });

  it("is decided for the whole list, or rejects it", async () => {
    const script = { isBlacklisted: () => ({ code: status.INTERNAL, details: "no" }) as never };
    const denying = await stage.scripted(script, { onUnavailable: "deny" });
    const throwing = await stage.scripted(script);
    expect([
      await denying.client.areBlacklisted(["a", "b"]),
      await throwing.client.areBlacklisted(["a", "b"]).catch(({ code }) => code),
    ]).to.deep.equal([[true, true], "INTERNAL"]);
  });

  it("is counted, and logged with its outage: once at the start, and once at the end", async () => {
    const clock = new FakeClock();
    let isAway = true;
    const { client, logs, events, service } = await stage.scripted(
      {
        isBlacklisted: ({ jtis }) =>
          isAway
            ? ({ code: status.INTERNAL, details: "from a proxy" } as never)
            : { verdicts: jtis.map(() => Verdict.NOT_BLACKLISTED), revision: "r" },
      },
      { clock, onUnavailable: "deny" },
    );
    const ask = () => client.areBlacklisted(["jti-1", "jti-2"]);
    await ask();
    await ask();
    clock.advance(60_000);
    await ask();
    // It recovers, and fails again before the outage counts as over.
    isAway = false;
    await ask();
    clock.advance(9000);
    isAway = true;
    await ask();
    isAway = false;
    await ask();
    clock.advance(10_000);
    expect(logs.filter(([, message]) => !message.startsWith("the client is ready"))).to.deep.equal([
      [
        "warn",
        "the service is unavailable",
        {
          ...{ address: service.address, code: "INTERNAL", reason: undefined, connection: undefined },
          ...{ detail: "from a proxy", onUnavailable: "deny" },
        },
      ],
      ["info", "the service is available again", { seconds: 69, unanswered: 8 }],
    ]);
    const counted = (name: string) => events.filter(([event]) => event === name).map(([, event]) => event);
    expect(counted("unanswered")).to.deep.equal(
      Array(8).fill({ code: "INTERNAL", reason: undefined, outcome: "denied", count: 1 }),
    );
    expect(
      counted("checked").filter((event) => (event as { source: string }).source === "policy"),
    ).to.deep.equal(Array(8).fill({ answer: true, source: "policy", count: 1 }));
  });

  it("is logged at most every ten seconds with a count if there is no outage", async () => {
    const clock = new FakeClock();
    const { client, logs } = await stage.scripted(
      {
        isBlacklisted: () => {
          throw new ServiceError("QUOTA_EXCEEDED", "too much");
        },
      },
      { clock, onUnavailable: "deny" },
    );
    await client.isBlacklisted("a");
    await client.areBlacklisted(["a", "b"]);
    clock.advance(10_000);
    await client.isBlacklisted("a");
    const details = { onUnavailable: "deny", code: "RESOURCE_EXHAUSTED", reason: "QUOTA_EXCEEDED" };
    expect(logs.filter(([level]) => level === "warn")).to.deep.equal([
      ["warn", "checks were not answered", { count: 1, ...details }],
      ["warn", "checks were not answered", { count: 3, ...details }],
    ]);
  });

  it("is not affected by a log, a metric or a listener that throws", async () => {
    const broken = () => {
      throw new Error("broken");
    };
    const { client } = await stage.scripted(
      { isBlacklisted: () => ({ verdicts: [Verdict.NOT_BLACKLISTED], revision: "r" }) },
      {
        log: { info: broken, warn: broken },
        metrics: { checked: broken, called: broken, state: broken, unanswered: broken, retried: broken },
      },
    );
    client.on("state", broken);
    expect(await client.isBlacklisted("a")).to.equal(false);
  });
});
