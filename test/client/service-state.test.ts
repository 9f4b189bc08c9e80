import { expect } from "chai";
import { Verdict } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import type { BlacklistClient } from "../../src/client/blacklist-client.ts";
import type { LocalCopySetup } from "../../src/client/local-copy/local-copy.ts";
import { WatchedCopy } from "../../src/client/local-copy/watched-copy.ts";
import { ServiceError } from "../../src/errors.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { freePort } from "../support/free-port.ts";
import { thrownBy } from "../support/rejection.ts";
import { startService } from "../support/service.ts";
import { freshFolder } from "../support/shared.ts";
import { until } from "../support/until.ts";
import { failure } from "./failure.ts";
import { type OpenedSetup, Stage } from "./opened.ts";

const MODES: Readonly<Record<string, OpenedSetup>> = {
  remote: {},
  local: { localCopy: (setup: LocalCopySetup) => new WatchedCopy(setup) },
};
const clear = { verdicts: [Verdict.NOT_BLACKLISTED], revision: "r" };
const SOON = { withinMs: 10_000 };

describe("ready()", () => {
  const stage = new Stage();
  afterEach(() => stage.close());

  for (const [mode, setup] of Object.entries(MODES)) {
    it(`waits for a service that starts later, for every caller, and then resolves at once (${mode})`, async () => {
      const port = await freePort();
      const { client } = stage.client(`127.0.0.1:${port}`, setup);
      let resolved = 0;
      const waiting = [client.ready(), client.ready({ timeoutMs: 60_000 })].map((one) =>
        one.then(() => resolved++),
      );
      await until(() => client.state === "unavailable", { ...SOON, what: "the client is unavailable" });
      const before = resolved;
      const service = await startService({
        url: `sqlite:${await freshFolder()}/x.db`,
        env: { LISTEN_ADDRESS: `127.0.0.1:${port}` },
      });
      try {
        await Promise.all(waiting);
        expect({ before, state: client.state }).to.deep.equal({ before: 0, state: "ready" });
        await client.ready({ timeoutMs: 1 });
        if (mode === "local") expect(client.peek("a", { maxStalenessMs: 60_000 })).to.equal(false);
      } finally {
        client.close();
        await service.stop();
      }
    });

    it(`rejects after its timeout, when its signal is aborted, and when the client is closed (${mode})`, async () => {
      const address = `127.0.0.1:${await freePort()}`;
      const { client } = stage.client(address, setup);
      const abort = new AbortController();
      const waiting = failure(client.ready());
      const aborted = failure(client.ready({ signal: abort.signal }));
      await until(() => client.state === "unavailable", { ...SOON, what: "the client is unavailable" });
      const late = await failure(client.ready({ timeoutMs: 500 }));
      abort.abort();
      const codes = [(await aborted).code];
      client.close();
      codes.push((await waiting).code, (await failure(client.ready())).code);
      expect([late.code, late.connection, codes]).to.deep.equal([
        "DEADLINE_EXCEEDED",
        "refused",
        ["CANCELLED", "CANCELLED", "CANCELLED"],
      ]);
      expect(late.message).not.to.include(address);
      expect((await failure(stage.client(address).client.ready({ timeoutMs: -1 }))).code).to.equal(
        "INVALID_ARGUMENT",
      );
    });
  }

  it("does not resolve with a connection alone: the service has to answer a check", async () => {
    let isAway = true;
    const { client } = await stage.scripted({
      isBlacklisted: () => {
        if (isAway) throw new ServiceError("STORE_UNAVAILABLE", "away");
        return clear;
      },
    });
    await until(() => client.state === "ready", { ...SOON, what: "the client is ready" });
    expect((await failure(client.ready({ timeoutMs: 300 }))).reason).to.equal("STORE_UNAVAILABLE");
    isAway = false;
    await client.ready({ timeoutMs: 10_000 });
    expect(client.state).to.equal("ready");
  });
});

describe("a check that does not wait", () => {
  const stage = new Stage();
  afterEach(() => stage.close());

  for (const [mode, setup] of Object.entries(MODES)) {
    it(`rejects at once while the service is unavailable, and resolves once it is available again (${mode})`, async () => {
      const port = await freePort();
      const { client } = stage.client(`127.0.0.1:${port}`, { ...setup, failFast: true, timeoutMs: 60_000 });
      const first = await failure(client.isBlacklisted("a"));
      const began = performance.now();
      const errors = await Promise.all(Array.from({ length: 100 }, () => failure(client.isBlacklisted("a"))));
      expect(performance.now() - began).to.be.below(5000);
      expect([first.code, first.statusCode, new Set(errors.map(({ code }) => code))]).to.deep.equal([
        "UNAVAILABLE",
        503,
        new Set(["UNAVAILABLE"]),
      ]);
      const service = await startService({
        url: `sqlite:${await freshFolder()}/x.db`,
        env: { LISTEN_ADDRESS: `127.0.0.1:${port}` },
      });
      try {
        await until(
          () =>
            client.isBlacklisted("a").then(
              (answer) => !answer,
              () => false,
            ),
          {
            ...SOON,
            what: "a check is answered again",
          },
        );
      } finally {
        client.close();
        await service.stop();
      }
    });
  }

  it("probes a service that stayed connected until it answers again, at most once a second", async () => {
    const clock = new FakeClock();
    let isAway = true;
    const { client, service } = await stage.scripted(
      {
        isBlacklisted: ({ jtis }) => {
          if (isAway) throw new ServiceError("STORE_UNAVAILABLE", "away", { retryAfterMs: 0 });
          return { verdicts: jtis.map(() => Verdict.NOT_BLACKLISTED), revision: "r" };
        },
      },
      { clock },
    );
    const ask = () => client.isBlacklisted("a", { failFast: true });
    await failure(ask());
    await until(() => service.calls.length === 2, { ...SOON, what: "the probe has arrived" });
    for (let round = 0; round < 50; round++) await failure(ask());
    expect(service.calls.length).to.equal(2);
    isAway = false;
    clock.advance(1000);
    await until(() => client.state === "ready", { ...SOON, what: "the probe is answered" });
    expect(await ask()).to.equal(false);
  });

  it("has the result of onUnavailable, and a known positive stays true", async () => {
    let isAway = false;
    const script = {
      isBlacklisted: ({ jtis }: { jtis: string[] }) => {
        if (isAway) throw new ServiceError("STORE_UNAVAILABLE", "away", { retryAfterMs: 0 });
        return {
          verdicts: jtis.map((jti) => (jti === "bad" ? Verdict.BLACKLISTED : Verdict.NOT_BLACKLISTED)),
          revision: "r",
        };
      },
    };
    const answers = [];
    for (const onUnavailable of ["throw", "deny", "allow"] as const) {
      isAway = false;
      const { client } = await stage.scripted(script, { onUnavailable, failFast: true });
      await client.isBlacklisted("bad");
      isAway = true;
      const told = (jti: string) => client.isBlacklisted(jti).catch(({ code }) => code);
      await told("other");
      answers.push([
        await told("bad"),
        await told("other"),
        await client.areBlacklisted(["bad", "x"]).catch(({ code }) => code),
      ]);
    }
    expect(answers).to.deep.equal([
      [true, "UNAVAILABLE", "UNAVAILABLE"],
      [true, true, [true, true]],
      [true, false, [true, false]],
    ]);
  });

  it("is made by its own option, for any option of the client, and the option is true or false", async () => {
    const { client } = await stage.scripted(
      {
        isBlacklisted: () => {
          throw new ServiceError("STORE_UNAVAILABLE", "away", { retryAfterMs: 10 });
        },
      },
      { failFast: true },
    );
    await failure(client.isBlacklisted("a"));
    const began = performance.now();
    await failure(client.isBlacklisted("a", { failFast: false, timeoutMs: 300 }));
    expect(performance.now() - began).to.be.above(150);
    const odd = await failure(client.isBlacklisted("a", { failFast: "no" as never }));
    expect(odd.violations.map(({ field }) => field)).to.deep.equal(["failFast"]);
  });
});

describe("listeners of the state", () => {
  const stage = new Stage();
  afterEach(() => stage.close());

  it("are refused for an unknown event, or if they are not functions", () => {
    const { client } = stage.client("127.0.0.1:1");
    const odd = (value: unknown) => value as never;
    const told = (act: () => unknown) => {
      const { name, message } = thrownBy(act) as Error;
      return `${name}: ${message}`;
    };
    expect(
      (["on", "once", "off"] as const).flatMap((method) => [
        told(() => client[method](odd("sate"), () => {})),
        told(() => client[method](odd(undefined), () => {})),
        told(() => client[method]("state", odd("listener"))),
      ]),
    ).to.deep.equal(
      Array(3)
        .fill([
          'TypeError: there is no event "sate": the client has one, "state"',
          'TypeError: there is no event undefined: the client has one, "state"',
          "TypeError: the listener must be a function",
        ])
        .flat(),
    );
  });

  it("are called once, or until they are removed, and may throw or reject without effect", async () => {
    const { client, logs } = await stage.scripted({ isBlacklisted: () => clear });
    const told: string[] = [];
    const note = (name: string) => (state: string) => void told.push(`${name} ${state}`);
    const [taken, both] = [note("taken"), note("both")];
    client
      .once("state", note("once"))
      .once("state", () => {
        throw new Error("broken");
      })
      .on("state", (async () => {
        throw new Error("broken too");
      }) as never)
      .once("state", taken)
      .off("state", taken)
      .on("state", both)
      .once("state", both)
      .on("state", note("on"));
    expect(await client.isBlacklisted("a")).to.equal(false);
    client.close();
    await until(() => logs.filter(([, message]) => message.includes("thrown")).length === 3, {
      ...SOON,
      what: "all errors are logged",
    });
    expect(told).to.deep.equal(["once ready", "both ready", "on ready", "both closed", "on closed"]);
  });
});

describe("a disposed client", () => {
  const stage = new Stage();
  afterEach(() => stage.close());

  it("is closed at the end of a block with `using`", async () => {
    let kept: BlacklistClient;
    {
      using client = stage.client("127.0.0.1:1").client;
      kept = client;
    }
    expect(kept.state).to.equal("closed");
  });

  it("settles all earlier calls, and accepts no more, with `await using`", async () => {
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const { client, service } = await stage.scripted({
      isBlacklisted: async ({ jtis }) => {
        await held;
        return { verdicts: jtis.map(() => Verdict.NOT_BLACKLISTED), revision: "r" };
      },
      prune: async () => {
        await held;
        return { prunedCount: 7, hasMore: false };
      },
    });
    const long = Array.from({ length: 9000 }, (_, index) => `jti-${index}`);
    const options = { timeoutMs: 60_000 };
    const calls = [
      client.isBlacklisted("a", options),
      client.areBlacklisted(long, options).then(({ length }) => length),
      client.prune(options).then(({ prunedCount }) => prunedCount),
    ];
    await until(() => service.calls.length >= 2, { ...SOON, what: "the calls have arrived" });
    const ended = client[Symbol.asyncDispose]();
    const refused = [
      await failure(client.isBlacklisted("b")),
      await failure(client.areBlacklisted(["b"])),
      await failure(client.prune()),
    ].map(({ code }) => code);
    const stateMeanwhile = client.state;
    release();
    await ended;
    expect([await Promise.all(calls), refused, stateMeanwhile, client.state]).to.deep.equal([
      [false, 9000, 7],
      ["CANCELLED", "CANCELLED", "CANCELLED"],
      "ready",
      "closed",
    ]);
    await client[Symbol.asyncDispose]();
    client.close();
  });

  it("counts no answer for a check that it refuses", async () => {
    const { client, events } = await stage.scripted({
      isBlacklisted: ({ jtis }) => ({ verdicts: jtis.map(() => Verdict.BLACKLISTED), revision: "r" }),
    });
    await client.isBlacklisted("a");
    const ended = client[Symbol.asyncDispose]();
    const { code } = await failure(client.isBlacklisted("a"));
    await ended;
    const answers = events.filter(([name]) => name === "checked");
    expect({ code, answers }).to.deep.equal({
      code: "CANCELLED",
      answers: [["checked", { answer: true, source: "service", count: 1 }]],
    });
  });
});
