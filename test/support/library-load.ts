import { connect } from "../../src/client/connect.ts";
import type { Mode } from "../../src/client/connect-options.ts";
import { Choices } from "../histories/choices.ts";
import { addTally, ClientLoad, emptyTally, type Tally } from "./client-load.ts";
import { Ledger } from "./ledger.ts";
import { seed } from "./seed.ts";
import { until } from "./until.ts";

const HOUR_MS = 3_600_000;
/** The load that two cores sustain beside three replicas. */
const PACE = {
  checkers: 4,
  checkPauseMs: 5,
  revokers: 4,
  revokePauseMs: 10,
  lifetimeMs: [HOUR_MS, 2 * HOUR_MS],
} as const;

export interface LibraryLoad {
  readonly ledger: Ledger;
  /** Resolves after this many further checks and revocations. */
  reaches(count: { checks: number; revoked: number }): Promise<void>;
  /** Stops the load, and returns its counts. */
  stop(): Promise<Tally>;
}

/** One client of the library in each mode, each a gateway and an auth service, which check the revocations of both. */
export async function startLibraryLoad(
  address: readonly string[],
  modes: readonly Mode[] = ["remote", "local"],
): Promise<LibraryLoad> {
  const ledger = new Ledger();
  const total = emptyTally();
  const parts = modes.map((mode) => {
    const client = connect({ address, mode, log: { warn() {} } });
    const name = `${mode} mode`;
    const choices = new Choices(seed, name);
    const load = new ClientLoad({
      ...{ client, name, choices, ledger, pace: PACE },
      onAcknowledged: ({ tokens, revision }) => ledger.add(tokens, revision),
    });
    return { client, load };
  });
  const add = () => {
    for (const { load } of parts) addTally(total, load.take());
  };
  const close = () => {
    for (const { client } of parts) client.close();
  };
  try {
    await until(() => parts.every(({ client }) => client.state === "ready"), {
      withinMs: 10_000,
      what: "the clients are ready",
    });
  } catch (error) {
    close();
    throw error;
  }
  for (const { load } of parts) load.start();
  return {
    ledger,
    async reaches({ checks, revoked }) {
      add();
      const goal = { checks: total.checks + checks, revoked: total.revoked + revoked };
      const isThere = () => {
        add();
        return total.checks >= goal.checks && total.revoked >= goal.revoked;
      };
      await until(isThere, { withinMs: 20_000, what: "enough is asked and revoked" });
    },
    async stop() {
      await Promise.all(parts.map(({ load }) => load.stop()));
      close();
      add();
      return total;
    },
  };
}
