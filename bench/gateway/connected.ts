import { once } from "node:events";
import type { BlacklistClient, Mode } from "../../src/client/connect.ts";
import { built } from "../built.ts";

const { connect } = await built<typeof import("../../src/client/connect.ts")>("client/connect.js");

/** The built client library, ready to answer. */
export async function connected(port: number, mode: Mode): Promise<BlacklistClient> {
  const client = connect({ address: `127.0.0.1:${port}`, mode });
  await isReady(client);
  return client;
}

async function isReady(client: BlacklistClient): Promise<void> {
  while (client.state !== "ready")
    await new Promise<void>((resolve) => {
      client.on("state", function changed() {
        client.off("state", changed);
        resolve();
      });
    });
}
