import { MAX_BATCH } from "../limits.ts";
import { inBatches } from "./batches.ts";
import { orderedMap, type Settled } from "./ordered-map.ts";
import type { Session } from "./session.ts";
import { type InputToken, inputTokens } from "./token-input.ts";

/** Enough to hide the round trip; the service merges concurrent calls into one commit anyway. */
export const IN_FLIGHT = 4;
/** How long a partial batch waits for more lines, in milliseconds. */
export const PAUSE_MS = 100;

/** The arguments of a command, or tokens that have been read already. */
export type NamedTokens = readonly string[] | readonly InputToken[];

/** Sends the tokens in batches, and yields each batch's result in the order of the input. */
export function tokenBatches<Answer>(
  { io }: Session,
  named: NamedTokens,
  send: (tokens: readonly InputToken[]) => Promise<Answer>,
): AsyncGenerator<Settled<readonly InputToken[], Answer>> {
  const pause = () => new Promise<void>((resolve) => void io.clock.schedule(PAUSE_MS, resolve));
  const tokens = isRead(named) ? arrived(named) : inputTokens(named, io.stdin);
  return orderedMap(inBatches(tokens, { size: MAX_BATCH, pause }), IN_FLIGHT, send);
}

/** The number of tokens, if known beforehand. */
export function totalOf(named: NamedTokens): number | undefined {
  return !isRead(named) && named.includes("-") ? undefined : named.length;
}

function isRead(named: NamedTokens): named is readonly InputToken[] {
  return typeof named[0] === "object";
}

async function* arrived(tokens: readonly InputToken[]): AsyncGenerator<readonly InputToken[]> {
  yield tokens;
}
