import { expect } from "chai";
import {
  BlacklistResult_Outcome as Outcome,
  Verdict,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { clientCredentials } from "../../src/client/connect.ts";
import { ServiceError } from "../../src/errors.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { freePort } from "../support/free-port.ts";
import { startService } from "../support/service.ts";
import { freshFolder } from "../support/shared.ts";
import { until } from "../support/until.ts";
import { failure } from "./failure.ts";
import { Stage } from "./opened.ts";

const EXPIRES = new Date(Date.UTC(2035, 0, 1));

describe("a client during an outage", () => {
  const stage = new Stage();
  afterEach(() => stage.close());

  it("continues across a restart on the same port, and finds tokens that were revoked before", async () => {
    const url = `sqlite:${await freshFolder()}/x.db`;
    const env = { LISTEN_ADDRESS: `127.0.0.1:${await freePort()}` };
    const first = await startService({ url, env });
    const { client, events } = stage.client(first.address);
    await stage.client(first.address).client.blacklist([{ jti: "a", expiresAt: EXPIRES }]);
    expect(await client.isBlacklisted("b")).to.equal(false);
    await first.stop();
    await until(() => client.state === "unavailable", { withinMs: 5000, what: "the client is unavailable" });
    const check = client.isBlacklisted("a", { timeoutMs: 20_000 });
    const write = client.blacklist([{ jti: "c", expiresAt: EXPIRES }], { timeoutMs: 20_000 });
    await until(() => events.some(([name]) => name === "retried"), {
      withinMs: 5000,
      what: "a call is retried",
    });
    const second = await startService({ url, env });
    try {
      expect([await check, (await write).results[0]?.outcome]).to.deep.equal([true, "created"]);
      await until(() => client.state === "ready", { withinMs: 5000, what: "the client is ready again" });
    } finally {
      client.close();
      await second.stop();
    }
  });

  it("fails over to the remaining services, of several addresses", async () => {
    const url = `sqlite:${await freshFolder()}/x.db`;
    const services = [
      await startService({ url }),
      await startService({ url: `sqlite:${await freshFolder()}/y.db` }),
    ];
    const { client, events } = stage.client(services.map(({ address }) => address));
    for (let round = 0; round < 20; round++) await client.isBlacklisted("a");
    await services[0]?.stop();
    const answers = [];
    for (let round = 0; round < 20; round++) answers.push(await client.isBlacklisted("a"));
    client.close();
    await services[1]?.stop();
    expect(answers).to.deep.equal(Array(20).fill(false));
    expect(events.filter(([name]) => name === "unanswered")).to.deep.equal([]);
  });

  it("begins without the retry state of another client of the process at the same address", async () => {
    const port = await freePort();
    const earlier = stage.client(`127.0.0.1:${port}`);
    await until(() => earlier.client.state === "unavailable", {
      withinMs: 5000,
      what: "the first one fails",
    });
    const script = { isBlacklisted: () => ({ verdicts: [Verdict.NOT_BLACKLISTED], revision: "r" }) };
    // With a clock that stands still, no call would be retried.
    const { client } = await stage.scripted(script, { port, clock: new FakeClock() });
    expect(await client.isBlacklisted("a")).to.equal(false);
  });

  it("spreads its calls over all addresses: none receives all of them for longer than ten seconds", async () => {
    const asked: string[] = [];
    const scripted = (name: string) =>
      stage.scripted({
        isBlacklisted: () => {
          asked.push(name);
          return { verdicts: [Verdict.NOT_BLACKLISTED], revision: "r" };
        },
      });
    const services = [(await scripted("a")).service, (await scripted("b")).service];
    const clock = new FakeClock();
    const { client } = stage.client(
      services.map(({ address }) => address),
      { clock },
    );
    const ask = async () => {
      await client.isBlacklisted("x");
      clock.advance(500);
    };
    // It need not be connected to both at once.
    await until(async () => ask().then(() => new Set(asked).size === 2), {
      withinMs: 5000,
      what: "both services are called",
    });
    asked.length = 0;
    for (let round = 0; round < 100; round++) await ask();
    const runs = asked.join("").match(/a+|b+/g) ?? [];
    expect(Math.max(...runs.map(({ length }) => length))).to.be.within(15, 21);
  });

  it("waits the retry delay of the service before it retries, within the call's deadline", async () => {
    const script = {
      isBlacklisted: () => {
        throw new ServiceError("NOT_FRESH", "not now", { retryAfterMs: 1000 });
      },
    };
    const { client, events, service } = await stage.scripted(script);
    const { code, reason } = await failure(client.isBlacklisted("a", { timeoutMs: 1800 }));
    const waits = events.flatMap(([name, event]) => (name === "retried" ? [event] : []));
    expect([code, reason, service.calls.length, waits]).to.deep.equal([
      "UNAVAILABLE",
      "NOT_FRESH",
      2,
      [{ code: "UNAVAILABLE", waitMs: 1000 + 25 * 0.75 }],
    ]);
  });

  it("calls another replica in time if the first does not respond at all", async () => {
    let count = 0;
    const { client } = await stage.scripted({
      isBlacklisted: async (_, { cancelled }) => {
        count++;
        if (count === 1) await cancelled();
        return { verdicts: [Verdict.NOT_BLACKLISTED], revision: "r" };
      },
    });
    expect({ answer: await client.isBlacklisted("a", { timeoutMs: 1000 }), count }).to.deep.equal({
      answer: false,
      count: 2,
    });
  });

  it("stops retrying after ten attempts, however much time is left", async () => {
    let count = 0;
    const { client } = await stage.scripted({
      list: () => {
        count++;
        throw new ServiceError("DRAINING", "going", { retryAfterMs: 0 });
      },
    });
    const entries = client.list({ timeoutMs: 60_000 })[Symbol.asyncIterator]();
    expect({ reason: (await failure(entries.next())).reason, count }).to.deep.equal({
      reason: "DRAINING",
      count: 10,
    });
  });

  it("retries a revocation, but not after a final refusal", async () => {
    const reasons: string[] = ["STORE_UNAVAILABLE", "OVERLOADED"];
    const { client, service } = await stage.scripted({
      blacklist: ({ tokens }) => {
        const reason = reasons.shift();
        if (reason !== undefined)
          throw new ServiceError(reason as "OVERLOADED", "not now", { retryAfterMs: 1 });
        return {
          results: tokens.map(({ token, expiresAt }) => ({
            token: { jti: token.value as string, expiresAt: expiresAt as NonNullable<typeof expiresAt> },
            outcome: Outcome.CREATED,
          })),
          revision: "r1",
        };
      },
    });
    const token = { jti: "a", expiresAt: EXPIRES };
    const { revision } = await client.blacklist([token]);
    reasons.push("QUOTA_EXCEEDED");
    const { reason } = await failure(client.blacklist([token]));
    reasons.push("INTERNAL");
    const { code } = await failure(client.blacklist([token]));
    expect([revision, reason, code, service.calls.length]).to.deep.equal([
      "r1",
      "QUOTA_EXCEEDED",
      "INTERNAL",
      5,
    ]);
  });

  it("never repeats the content of its requests in an error or in its log", async () => {
    const canaries = ["canary-token", "canary-jti", "canary.jwt.text"];
    const credentials = clientCredentials({ token: "canary-token" });
    const { client, logs } = await stage.scripted(
      {
        isBlacklisted: () => {
          throw new ServiceError("STORE_UNAVAILABLE", "away");
        },
      },
      { credentials },
    );
    const errors = [
      await failure(client.isBlacklisted("canary-jti", { timeoutMs: 50 })),
      await failure(client.isBlacklisted(`canary-jti\0`)),
      await failure(client.areBlacklisted([`canary-jti${"x".repeat(300)}`])),
      await failure(client.blacklist([{ jti: "canary-jti", expiresAt: 5, reason: "canary-token" }])),
      await failure(client.blacklist([{ jwt: "canary.jwt.text" }], { timeoutMs: 50 })),
    ];
    const text = JSON.stringify([
      logs,
      errors.map((error) => [error.message, error.stack, { ...error }, String(error.cause)]),
    ]);
    expect(canaries.filter((canary) => text.includes(canary))).to.deep.equal([]);
  });
});
