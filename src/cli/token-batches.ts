import { MAX_BATCH } from "../limits.ts";
import { inBatches } from "./batches.ts";
import { inOrder, type Settled } from "./in-order.ts";
import type { Session } from "./session.ts";
import { type InputToken, inputTokens } from "./token-input.ts";

/** Enough to hide the round trip; the service takes calls that come together in one commit anyway. */
export const IN_FLIGHT = 4;
/** How long a batch that is not full waits for more lines. */
export const PAUSE_MS = 100;

/** The arguments of a command, or tokens that have been read already. */
export type NamedTokens = readonly string[] | readonly InputToken[];

/** Sends the tokens in batches, and yields what came of each in the order they were named. */
export function tokenBatches<Answer>(
  { io }: Session,
  named: NamedTokens,
  send: (tokens: readonly InputToken[]) => Promise<Answer>,
): AsyncGenerator<Settled<readonly InputToken[], Answer>> {
  const pause = () => new Promise<void>((resolve) => void io.clock.schedule(PAUSE_MS, resolve));
  const tokens = isRead(named) ? arrived(named) : inputTokens(named, io.stdin);
  return inOrder(inBatches(tokens, { size: MAX_BATCH, pause }), IN_FLIGHT, send);
}

/** How many tokens there will be, where that is known beforehand. */
export function totalOf(named: NamedTokens): number | undefined {
  return !isRead(named) && named.includes("-") ? undefined : named.length;
}

function isRead(named: NamedTokens): named is readonly InputToken[] {
  return typeof named[0] === "object";
}

async function* arrived(tokens: readonly InputToken[]): AsyncGenerator<readonly InputToken[]> {
  yield tokens;
}
