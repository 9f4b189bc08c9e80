import type { Instant } from "./history.ts";
import { fillerLife } from "./lifetimes.ts";
import type { Replica } from "./replica.ts";
import type { Stage } from "./stage.ts";

const STORM_TIMEOUT_MS = 2500;
/** Maximum number of rows written by one storm, so that the table stays bounded. */
const MAX_ROWS = 16_000;

export interface StormOptions {
  readonly clients: number;
  /** Of each Blacklist. */
  readonly tokens: number;
  readonly through: readonly Replica[];
  readonly validUntil?: () => Instant;
}

/**
 * Blacklists new jtis as fast as the service responds, and checks some of each batch at replicas and gateways.
 * Stops when the returned function is called.
 */
export function startStorm(
  stage: Stage,
  { clients, tokens, through, validUntil = fillerLife }: StormOptions,
): () => Promise<void> {
  const { recorder, cluster, fillers, keyring } = stage;
  let stopped = false;
  let rows = 0;

  async function client(number: number): Promise<void> {
    const choices = stage.choices.for(`storm ${number}`);
    for (let round = 0; !stopped && rows < MAX_ROWS; round++) {
      rows += tokens;
      const life = validUntil();
      const names = Array.from(
        { length: tokens },
        (_, index) => `${keyring.key(round)}/storm ${number}/${index}`,
      );
      const write = recorder.blacklist(
        choices.pick(through),
        names.map((jti) => ({ jti, validUntil: life })),
        { timeoutMs: STORM_TIMEOUT_MS },
      );
      const check = () =>
        Promise.all([
          recorder.check(choices.pick(cluster.replicas), choices.some(names, 2), { timeoutMs: 500 }),
          recorder.ask(choices.pick(cluster.gateways), choices.some(names, 2), { timeoutMs: 500 }),
        ]);
      const [{ answer }] = await Promise.all([write, check()]);
      fillers.push(...names);
      if (answer !== undefined) await check();
    }
  }

  const ended = Promise.all(Array.from({ length: clients }, (_, number) => client(number)));
  return async () => {
    stopped = true;
    await ended;
  };
}
