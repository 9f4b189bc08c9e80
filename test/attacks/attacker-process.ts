import type { Extent, Target } from "./attack.ts";
import { ATTACKS } from "./attacks.ts";

/** A command to an attacker's process. */
export interface Order {
  readonly name: string;
  readonly target: Target;
  readonly extent: Extent;
}

/** The result of a command. */
export type Played = { readonly sent: number | "let in" } | { readonly error: string };

// An attacker has its own process, so that it does not delay the measurements.
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
// Errors of an attacker's sockets, when the service ends, are ignored.
process.on("uncaughtException", () => {});
