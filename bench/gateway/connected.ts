import type { BlacklistClient, Mode } from "../../src/client/connect.ts";
import { built } from "../built.ts";

const { connect } = await built<typeof import("../../src/client/connect.ts")>("client/connect.js");

/** The built client library, once it is ready to answer. */
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
