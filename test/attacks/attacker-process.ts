import type { Extent, Target } from "./attack.ts";
import { ATTACKS } from "./attacks.ts";

/** An order to an attacker's process. */
export interface Order {
  readonly name: string;
  readonly target: Target;
  readonly extent: Extent;
}

/** What comes of an order. */
export type Played = { readonly sent: number } | { readonly error: string };

// An attacker has a process of its own: what it does must not delay those who measure.
process.on("message", async ({ name, target, extent }: Order) => {
  let played: Played;
  try {
    const attack = ATTACKS.find((one) => one.name === name);
    if (attack === undefined) throw new RangeError(`no attack is named ${name}`);
    played = { sent: await attack.play(target, extent) };
  } catch (error) {
    played = { error: String(error) };
  }
  process.send?.(played);
});
// What a dying service does to an attacker's sockets is nothing to die of.
process.on("uncaughtException", () => {});
