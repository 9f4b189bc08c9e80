import { withoutCommit } from "../../support/silent-rollback.ts";
import type { Stage } from "../stage.ts";

/**
 * Occasionally the server silently rolls a transaction back just before its COMMIT, as Galera has done on conflicts with another
 * node's writes.
 */
export async function vanishingCommits(stage: Stage): Promise<void> {
  const { choices } = stage;
  const victims = stage.victims();
  const probability = choices.pick([0.1, 0.3, 0.6]);
  for (const { proxy } of victims) {
    proxy.onClientData = (chunk) => (choices.chance(probability) ? withoutCommit(chunk) : true);
  }
  await stage.hold(choices.between(400, 900));
  await Promise.all(victims.map(({ proxy }) => proxy.heal()));
}
