import type { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

export type Direction = "toServer" | "toClient";

/** The proxy's decisions for one connection, chunk by chunk. */
export interface LinkRules {
  latencyMs(): number;
  swallows(direction: Direction): boolean;
  /** Resolves at once, or when bytes in that direction are no longer held. */
  released(direction: Direction): Promise<void>;
  /** The part of the chunk to pass on, and whether the connection is cut after it. */
  admit(direction: Direction, chunk: Buffer): { pass: Buffer; cut: boolean };
}

// Bytes that one direction may buffer before it stops reading.
const MAX_PENDING_BYTES = 1024 * 1024;

export function link(client: Socket, server: Socket, rules: LinkRules): void {
  pump(client, server, "toServer", rules);
  pump(server, client, "toClient", rules);
}

/** Resets the connection on both sides. */
export function cutLink(client: Socket, server: Socket): void {
  reset(client);
  reset(server);
}

/** Node.js cannot reset a socket while it is being ended: the handle would stay open and spin. */
function reset(socket: Socket): void {
  if (socket.writableEnded && !socket.writableFinished && !socket.destroyed) {
    socket.once("finish", () => socket.resetAndDestroy());
  } else socket.resetAndDestroy();
}

function pump(from: Socket, to: Socket, direction: Direction, rules: LinkRules): void {
  let pending = 0;
  let lostBytes = false;
  let last = Promise.resolve();

  const deliver = async (chunk: Buffer, dueAt: number) => {
    const wait = dueAt - performance.now();
    if (wait > 0) await delay(wait);
    await rules.released(direction);
    if (to.destroyed) return;
    const { pass, cut } = rules.admit(direction, chunk);
    to.write(pass, () => {
      pending -= chunk.length;
      if (pending < MAX_PENDING_BYTES) from.resume();
    });
    if (!cut) return;
    // Passed bytes must arrive before the end, and an RST could overtake them.
    to.destroySoon();
    reset(from);
  };

  from.on("data", (chunk: Buffer) => {
    // After the first lost byte nothing more is passed, because TCP never has gaps.
    lostBytes ||= rules.swallows(direction);
    if (lostBytes) return;
    pending += chunk.length;
    if (pending >= MAX_PENDING_BYTES) from.pause();
    const dueAt = performance.now() + rules.latencyMs();
    last = last.then(() => deliver(chunk, dueAt));
  });
  from.on("end", () => {
    if (rules.swallows(direction)) return;
    last = last.then(() => rules.released(direction)).then(() => void to.end());
  });
  from.on("error", () => {
    if (!rules.swallows(direction)) to.destroySoon();
  });
}
