import { setImmediate as turn } from "node:timers/promises";
import { expect } from "chai";
import fc from "fast-check";
import type { IsBlacklistedRequest } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { Verdict } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { invalidRequest } from "../../src/errors.ts";
import { MAX_PENDING_CHECKS } from "../../src/limits.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { until } from "../support/until.ts";
import { failure } from "./failure.ts";
import { type OpenedSetup, Stage } from "./opened.ts";
import type { Script, ScriptedService } from "./scripted-service.ts";

const FINE = Verdict.NOT_BLACKLISTED;

/** Every jti that begins with `bad` is blacklisted, and those with `odd` are unknown. */
function verdictOf(jti: string): Verdict {
  if (jti.startsWith("odd")) return Verdict.UNKNOWN;
  return jti.startsWith("bad") ? Verdict.BLACKLISTED : FINE;
}

const answered = ({ jtis }: { jtis: string[] }) => ({ verdicts: jtis.map(verdictOf), revision: "r" });

/** The jtis of each call. */
const asked = ({ calls }: ScriptedService) =>
  calls.map(({ request }) => (request as IsBlacklistedRequest).jtis);

/** Responses that the test releases. */
function gate() {
  const waiting: (() => void)[] = [];
  return {
    script: {
      isBlacklisted: (request: { jtis: string[] }) =>
        new Promise<ReturnType<typeof answered>>((resolve) => waiting.push(() => resolve(answered(request)))),
    },
    arrived: (count: number) =>
      until(() => waiting.length >= count, { withinMs: 5000, what: `${count} calls have arrived` }),
    open: () => {
      for (const release of waiting.splice(0)) release();
    },
  };
}

for (const streams of [true, false]) {
  describe(`checks that share ${streams ? "questions of a stream" : "calls"}`, () => {
    const stage = new Stage();
    const scripted = (script: Script, setup: OpenedSetup = {}) =>
      stage.scripted(script, { ...setup, streams });
    afterEach(() => stage.close());

    it("share one call if they are made in one turn", async () => {
      const { client, service } = await scripted({ isBlacklisted: answered });
      const jtis = ["a", "bad", "a", "c"];
      const answers = await Promise.all(jtis.map((jti) => client.isBlacklisted(jti)));
      expect({ answers, asked: asked(service) }).to.deep.equal({
        answers: [false, true, false, false],
        asked: [jtis],
      });
    });

    it("wait while a call is in flight, and then share the next", async () => {
      const { script, arrived, open } = gate();
      const { client, service } = await scripted(script, { clock: new FakeClock() });
      const checks = [client.isBlacklisted("a")];
      await arrived(1);
      for (const jti of ["b", "c", "d"]) {
        checks.push(client.isBlacklisted(jti));
        await turn();
      }
      open();
      await arrived(1);
      open();
      await Promise.all(checks);
      expect(asked(service)).to.deep.equal([["a"], ["b", "c", "d"]]);
    });

    it("wait at most five milliseconds for a slow call, while fewer than four are in flight", async () => {
      const clock = new FakeClock();
      const { script, arrived, open } = gate();
      const { client, service } = await scripted(script, { clock });
      const checks = [client.isBlacklisted("a")];
      await arrived(1);
      for (const [index, jti] of ["b", "c", "d"].entries()) {
        checks.push(client.isBlacklisted(jti));
        clock.advance(4);
        await turn();
        checks.push(client.isBlacklisted(`${jti}2`));
        clock.advance(1);
        await arrived(index + 2);
      }
      checks.push(client.isBlacklisted("e"));
      clock.advance(100);
      checks.push(client.isBlacklisted("f"));
      open();
      await arrived(1);
      open();
      await Promise.all(checks);
      expect(asked(service)).to.deep.equal([["a"], ["b", "b2"], ["c", "c2"], ["d", "d2"], ["e", "f"]]);
    });

    it("never join a call that has been sent, which would miss a revocation in between", async () => {
      const revoked = new Set<string>();
      const held: (() => void)[] = [];
      const { client, service } = await scripted({
        isBlacklisted: async ({ jtis }) => {
          const verdicts = jtis.map((jti) => (revoked.has(jti) ? Verdict.BLACKLISTED : FINE));
          if (held.length === 0) await new Promise<void>((resolve) => held.push(resolve));
          return { verdicts, revision: "r" };
        },
      });
      const before = client.isBlacklisted("a");
      await until(() => held.length === 1, { withinMs: 5000, what: "the first call has arrived" });
      revoked.add("a");
      const after = client.isBlacklisted("a");
      held[0]?.();
      expect([await before, await after, asked(service)]).to.deep.equal([false, true, [["a"], ["a"]]]);
    });

    it("share a call in groups of at most 1000", async () => {
      const { client, service } = await scripted({ isBlacklisted: answered });
      const answers = await client.areBlacklisted(Array.from({ length: 2500 }, (_, index) => `${index}`));
      expect(answers).to.have.length(2500);
      // Over two streams, one of them slow, they may arrive in another order.
      const sizes = asked(service).map(({ length }) => length);
      expect(sizes.sort((a, b) => b - a)).to.deep.equal([1000, 1000, 500]);
    });

    it("share a call only with checks of the same freshness, which each call states", async () => {
      const { client, service } = await scripted({ isBlacklisted: answered });
      await Promise.all([
        client.isBlacklisted("a"),
        client.isBlacklisted("b", { maxStalenessMs: 1500 }),
        client.isBlacklisted("c", { atLeastRevision: "1500" }),
        client.isBlacklisted("d", { maxStalenessMs: 1500.9 }),
        client.isBlacklisted("e", { maxStalenessMs: 0.5 }),
        client.isBlacklisted("f", { atLeastRevision: "1501" }),
        client.isBlacklisted("g", { maxStalenessMs: 0 }),
      ]);
      const calls = service.calls.map(({ request }) => {
        const { jtis, freshness } = request as IsBlacklistedRequest;
        const value =
          freshness.case === "maxStaleness"
            ? [freshness.value.seconds, freshness.value.nanos]
            : freshness.value;
        return [jtis.join(""), freshness.case, value];
      });
      expect(calls.sort()).to.deep.equal([
        ["aeg", undefined, undefined],
        ["bd", "maxStaleness", [1n, 500_000_000]],
        ["c", "atLeastRevision", "1500"],
        ["f", "atLeastRevision", "1501"],
      ]);
    });

    it("have the results of separate calls, for any other checks in the batch", async () => {
      const { client, service } = await scripted({ isBlacklisted: answered });
      const jti = fc.constantFrom("a", "b", "bad-1", "bad-2", "odd-1", "");
      const outcomeOf = (check: Promise<boolean>) =>
        check.then(
          (answer) => answer,
          // With so little time, the deadline may be the reason as well.
          ({ code }) => (code === "INVALID_ARGUMENT" ? "refused" : "cannot tell"),
        );
      const timeFor = (one: string) => (one.startsWith("odd") ? 60 : 10_000);
      const alone = new Map<string, unknown>();
      for (const one of ["a", "b", "bad-1", "bad-2", "odd-1", ""]) {
        alone.set(one, await outcomeOf(client.isBlacklisted(one, { timeoutMs: timeFor(one) })));
      }
      expect([...alone.values()]).to.deep.equal([false, false, true, true, "cannot tell", "refused"]);
      await fc.assert(
        fc.asyncProperty(fc.array(jti, { maxLength: 20 }), async (jtis) => {
          const fresh = stage.client(service.address, { log: { warn() {} } }).client;
          const together = await Promise.all(
            jtis.map((one) => outcomeOf(fresh.isBlacklisted(one, { timeoutMs: timeFor(one) }))),
          );
          fresh.close();
          expect(together).to.deep.equal(jtis.map((one) => alone.get(one)));
        }),
        { numRuns: 25 },
      );
    });

    it("are not affected by a check that only the service refuses", async () => {
      const { client, service } = await scripted({
        isBlacklisted: ({ jtis }) => {
          const violations = jtis.flatMap((jti, index) =>
            jti.startsWith("x") ? [{ field: `jtis[${index}]`, description: "must not begin with x" }] : [],
          );
          if (violations.length > 0) throw invalidRequest(violations);
          return answered({ jtis });
        },
      });
      const checks = ["a", "x1", "bad", "x2"].map((jti) => client.isBlacklisted(jti));
      const refused = [
        await failure(checks[1] as Promise<boolean>),
        await failure(checks[3] as Promise<boolean>),
      ];
      expect([
        await checks[0],
        await checks[2],
        refused.map(({ code, message, violations }) => [code, message, violations]),
        asked(service),
      ]).to.deep.equal([
        false,
        true,
        Array(2).fill([
          "INVALID_ARGUMENT",
          "jti: must not begin with x",
          [{ field: "jti", description: "must not begin with x" }],
        ]),
        [
          ["a", "x1", "bad", "x2"],
          ["a", "bad"],
        ],
      ]);
    });

    it("all fail if the response is meaningless", async () => {
      const odd = [[], [FINE], [FINE, FINE, FINE], [FINE, Verdict.UNSPECIFIED], [9 as Verdict, FINE]];
      for (const verdicts of odd) {
        const { client } = await scripted({ isBlacklisted: () => ({ verdicts, revision: "r" }) });
        const errors = await Promise.all(["a", "b"].map((jti) => failure(client.isBlacklisted(jti))));
        expect(errors.map(({ code, reason }) => [code, reason])).to.deep.equal(
          Array(2).fill(["INTERNAL", "MALFORMED_ANSWER"]),
        );
      }
    });

    it("each end at their own deadline, and neither end nor delay the others", async () => {
      const { script, arrived, open } = gate();
      const { client, service } = await scripted(script);
      const patient = client.isBlacklisted("bad", { timeoutMs: 10_000 });
      const hasty = failure(client.isBlacklisted("b", { timeoutMs: 30 }));
      await arrived(1);
      const startedAt = performance.now();
      const { code } = await hasty;
      expect([code, performance.now() - startedAt < 2000]).to.deep.equal(["DEADLINE_EXCEEDED", true]);
      open();
      expect({ patient: await patient, asked: asked(service) }).to.deep.equal({
        patient: true,
        asked: [["bad", "b"]],
      });
    });

    it("end when their callers cancel them, before the call and during it, and the others continue", async () => {
      const { script, arrived, open } = gate();
      const { client, service } = await scripted(script, { onUnavailable: "deny" });
      const during = new AbortController();
      const before = new AbortController();
      const cancelledChecks = [failure(client.isBlacklisted("a", { signal: AbortSignal.abort() }))];
      cancelledChecks.push(failure(client.isBlacklisted("b", { signal: during.signal })));
      const first = client.isBlacklisted("bad-1");
      await arrived(1);
      const second = client.isBlacklisted("c");
      await arrived(2);
      cancelledChecks.push(failure(client.isBlacklisted("d", { signal: before.signal })));
      const third = client.isBlacklisted("e", { signal: new AbortController().signal });
      during.abort();
      before.abort();
      expect((await Promise.all(cancelledChecks)).map(({ code }) => code)).to.deep.equal(
        Array(3).fill("CANCELLED"),
      );
      open();
      await arrived(1);
      open();
      expect([await first, await second, await third]).to.deep.equal([true, false, false]);
      expect(asked(service)).to.deep.equal([["b", "bad-1"], ["c"], ["e"]]);
    });

    it("of a list end together when their caller cancels them", async () => {
      const { script, arrived } = gate();
      const { client } = await scripted(script, { onUnavailable: "deny" });
      const caller = new AbortController();
      const list = failure(client.areBlacklisted(["a", "bad"], { signal: caller.signal }));
      await arrived(1);
      caller.abort();
      const again = failure(client.areBlacklisted(["a"], { signal: caller.signal }));
      expect([(await list).code, (await again).code]).to.deep.equal(["CANCELLED", "CANCELLED"]);
    });

    it("cancel the call when none of them waits for it any more", async () => {
      const cancelled: Promise<void>[] = [];
      const { client } = await scripted({
        isBlacklisted: async (_, call) => {
          cancelled.push(call.cancelled());
          await call.cancelled();
          return { verdicts: [], revision: "r" };
        },
      });
      const caller = new AbortController();
      const checks = ["a", "b"].map((jti) =>
        failure(client.isBlacklisted(jti, { signal: caller.signal, timeoutMs: 100_000 })),
      );
      await until(() => cancelled.length === 1, { withinMs: 5000, what: "the call has arrived" });
      caller.abort();
      await Promise.all(checks);
      await cancelled[0];
    });

    it("keep queues bounded during many deadlines of one millisecond, and each of them is answered or rejected correctly", async () => {
      const { client, events, service } = await scripted({ isBlacklisted: answered });
      await client.isBlacklisted("a");
      let wrong = 0;
      let settled = 0;
      const checks: Promise<unknown>[] = [];
      for (let round = 0; round < 40; round++) {
        for (let index = 0; index < 500; index++) {
          const isBad = index % 10 === 0;
          const check = client.isBlacklisted(`${isBad ? "bad" : "a"}-${round}-${index}`, { timeoutMs: 1 });
          checks.push(
            check.then(
              (answer) => {
                settled++;
                if (answer !== isBad) wrong++;
              },
              ({ code }) => {
                if (code === "DEADLINE_EXCEEDED") settled++;
              },
            ),
          );
        }
        await turn();
      }
      await Promise.all(checks);
      const sizes = events.flatMap(([name, event]) =>
        name === "called" ? [(event as { jtis: number }).jtis] : [],
      );
      expect([wrong, settled, Math.max(...sizes) <= 1000]).to.deep.equal([0, 20_000, true]);
      expect(await client.isBlacklisted("bad")).to.equal(true);
      // No more at once than questions in flight, and those whose end the service has not yet received.
      expect(service.streams.most).to.be.within(streams ? 1 : 0, streams ? 20 : 0);
      client.close();
      await until(() => service.streams.open === 0, { withinMs: 5000, what: "all streams are closed" });
    });

    it("are refused when too many wait, and accepted again as soon as some are answered", async () => {
      const { script, arrived, open } = gate();
      const { client } = await scripted(script);
      // A slow machine takes seconds to make so many checks.
      const one = client.isBlacklisted("a", { timeoutMs: 60_000 });
      await arrived(1);
      const errors: Promise<unknown>[] = [];
      for (let index = 1; index < MAX_PENDING_CHECKS; index++) {
        errors.push(failure(client.isBlacklisted("b", { timeoutMs: 60_000 })));
      }
      const { code, reason } = await failure(client.isBlacklisted("c"));
      expect({ code, reason }).to.deep.equal({ code: "RESOURCE_EXHAUSTED", reason: "OVERLOADED" });
      open();
      await one;
      await turn();
      const later = client.isBlacklisted("bad", { timeoutMs: 60_000 });
      client.close();
      expect((await failure(later)).code).to.equal("CANCELLED");
      await Promise.all(errors);
    });
  });
}
