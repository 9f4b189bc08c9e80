import type { BlacklistClient, Mode } from "../../src/client/connect.ts";
import { built } from "../built.ts";

const { connect } = await built<typeof import("../../src/client/connect.ts")>("client/connect.js");

/** Connects the built client library, and waits until it is ready. */
export function connected(port: number, mode: Mode): Promise<BlacklistClient> {
  const client = connect({ address: `127.0.0.1:${port}`, mode });
  return new Promise((resolve) => {
    client.on("state", function look(state) {
      if (state !== "ready") return;
      client.off("state", look);
      resolve(client);
    });
  });
}
