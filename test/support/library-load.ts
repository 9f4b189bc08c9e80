import { connect } from "../../src/client/connect.ts";
import type { Mode } from "../../src/client/connect-options.ts";
import { Choices } from "../histories/choices.ts";
import { addTally, ClientLoad, emptyTally, type Tally } from "./client-load.ts";
import { Ledger } from "./ledger.ts";
import { seed } from "./seed.ts";
import { until } from "./until.ts";

const HOUR_MS = 3_600_000;
/** As much as a machine with two cores takes beside three replicas. */
const PACE = {
  checkers: 4,
  checkPauseMs: 5,
  revokers: 4,
  revokePauseMs: 10,
  lifetimeMs: [HOUR_MS, 2 * HOUR_MS],
} as const;

export interface LibraryLoad {
  readonly ledger: Ledger;
  /** Resolves once so many checks were answered and tokens revoked since it was called. */
  reaches(count: { checks: number; revoked: number }): Promise<void>;
  /** Ends everything, and tells what was seen. */
  stop(): Promise<Tally>;
}

/** One client library in each mode, each a gateway and an auth service, all of which check what any has revoked. */
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
