import type { BlacklistClient } from "../../src/client/connect.ts";
import { freshJti } from "../tokens.ts";
import { connected } from "./connected.ts";
import { given, offer } from "./offer.ts";
import { type Cursor, WatchConnection } from "./watch-connection.ts";

// Many gateways that watch one service, in one process.

export interface WatchersInput {
  readonly port: number;
  readonly count: number;
}

const DAY_MS = 86_400_000;

const { port, count } = given<WatchersInput>();
const cursor: Cursor = { revision: "", key: new Uint8Array() };
let client: BlacklistClient;
let connections: WatchConnection[] = [];
let look = () => {};

function connect(): WatchConnection {
  return new WatchConnection(port, { cursor, onProgress: () => look() });
}

/** Resolves when `isSo` is true of every connection. */
function all(isSo: (connection: WatchConnection) => boolean): Promise<void> {
  let next = 0;
  return new Promise((resolve) => {
    look = () => {
      for (let one = connections[next]; one !== undefined && isSo(one); one = connections[next]) next++;
      if (next === connections.length) resolve();
    };
    look();
  });
}

/** One connection takes the snapshot; the others resume from its position. */
async function start(): Promise<void> {
  client = await connected(port, "remote");
  connections = [connect()];
  await all(({ revision }) => revision > 0);
  close();
}

async function open(): Promise<void> {
  if (connections.length > 0) return;
  connections = Array.from({ length: count }, connect);
  await all(({ isOpened }) => isOpened);
}

function close(): void {
  for (const connection of connections) connection.close();
  connections = [];
}

/** For each revocation, the milliseconds from its acknowledgement until the last connection had received it. */
async function push({ times }: { times: number }): Promise<readonly number[]> {
  const took: number[] = [];
  for (let time = 0; time < times; time++) {
    const revoked = await client.blacklist([{ jti: freshJti(), expiresAt: Date.now() + DAY_MS }]);
    const acknowledged = performance.now();
    const number = Number.parseInt(revoked.revision, 10);
    await all(({ revision }) => revision >= number);
    took.push(performance.now() - acknowledged);
  }
  return took;
}

offer(start, { open, close, push });
