import { expect } from "chai";
import { Verdict } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { clientCredentials } from "../../src/client/connect.ts";
import type { LocalCopy, LocalCopyFactory, LocalCopySetup } from "../../src/client/local-copy/local-copy.ts";
import { WatchedCopy } from "../../src/client/local-copy/watched-copy.ts";
import { OUTAGE_GRACE_MS, OUTAGE_OVER_MS } from "../../src/client/outage-log.ts";
import { ServiceError } from "../../src/errors.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { freePort } from "../support/free-port.ts";
import { until } from "../support/until.ts";
import { failure } from "./failure.ts";
import { Stage, type Witness } from "./opened.ts";

const warnings = ({ logs }: Witness) =>
  logs.filter(([level]) => level === "warn").map(([, message]) => message);

describe("the log of a client", () => {
  const stage = new Stage();
  afterEach(() => stage.close());

  /** A copy whose state the test sets. */
  function copied(): { factory: LocalCopyFactory; setup: () => LocalCopySetup } {
    let given: LocalCopySetup | undefined;
    const localCopy: LocalCopy = {
      peek: () => undefined,
      reflects: () => false,
      prove: () => Promise.resolve(),
      isBlacklisted: () => false,
      isComplete: true,
      version: 0,
      close: () => {},
    };
    return {
      factory: (setup) => {
        given = setup;
        return localCopy;
      },
      setup: () => given as LocalCopySetup,
    };
  }

  it("has no line for an outage shorter than the grace, and one warning for a longer one", () => {
    const clock = new FakeClock();
    const { factory, setup } = copied();
    const witness = stage.client("127.0.0.1:1", { clock, localCopy: factory });
    const { onState } = setup();
    onState("ready");
    const before = witness.logs.length;
    for (let restart = 0; restart < 20; restart++) {
      onState("unavailable");
      clock.advance(OUTAGE_GRACE_MS - 1);
      onState(restart % 2 === 0 ? "ready" : "loading");
    }
    const duringRestarts = witness.logs.slice(before);
    onState("unavailable");
    clock.advance(OUTAGE_GRACE_MS);
    for (let flap = 0; flap < 20; flap++) {
      onState("ready");
      clock.advance(OUTAGE_OVER_MS - 1);
      onState("unavailable");
      clock.advance(60_000);
    }
    onState("ready");
    clock.advance(OUTAGE_OVER_MS);
    onState("unavailable");
    clock.advance(OUTAGE_GRACE_MS);
    expect([
      duringRestarts,
      witness.logs.slice(before).map(([level, message]) => `${level} ${message}`),
    ]).to.deep.equal([
      [],
      [
        "warn the service is unavailable",
        "info the service is available again",
        "warn the service is unavailable",
      ],
    ]);
  });

  for (const mode of ["remote", "local"] as const) {
    it(`has one warning for any duration of an outage and any number of failed checks (${mode}), with address and cause`, async () => {
      const address = `127.0.0.1:${await freePort()}`;
      const localCopy = mode === "local" ? (setup: LocalCopySetup) => new WatchedCopy(setup) : undefined;
      const { client, logs } = stage.client(address, { ...(localCopy && { localCopy }), timeoutMs: 200 });
      for (let round = 0; round < 10; round++) await failure(client.isBlacklisted("a"));
      await until(() => logs.some(([level]) => level === "warn"), {
        withinMs: 10_000,
        what: "the warning is logged",
      });
      const [first, ...others] = logs.filter(([level]) => level === "warn");
      const { code, connection, address: told, detail } = first?.[2] ?? {};
      expect([first?.[1], code, connection, told, others]).to.deep.equal([
        "the service is unavailable",
        "UNAVAILABLE",
        "refused",
        address,
        [],
      ]);
      expect(detail).to.include("ECONNREFUSED");
    });
  }

  it("has no warning for a draining replica while others answer, and the client stays ready", async () => {
    let isDraining = true;
    const states: string[] = [];
    const witness = await stage.scripted({
      isBlacklisted: ({ jtis }) => {
        isDraining = !isDraining;
        if (isDraining) throw new ServiceError("DRAINING", "going", { retryAfterMs: 0 });
        return { verdicts: jtis.map(() => Verdict.NOT_BLACKLISTED), revision: "r" };
      },
    });
    witness.client.on("state", (state) => states.push(state));
    for (let round = 0; round < 20; round++) await witness.client.isBlacklisted("a", { failFast: true });
    expect([warnings(witness), states.filter((state) => state !== "ready")]).to.deep.equal([[], []]);
  });

  it("never contains a caller's token or a jti", async () => {
    const credentials = clientCredentials({ token: "canary-token" });
    const { client, logs } = stage.client(`127.0.0.1:${await freePort()}`, { credentials });
    await failure(client.isBlacklisted("canary-jti", { timeoutMs: 100 }));
    expect(JSON.stringify(logs)).not.to.include("canary");
  });
});
