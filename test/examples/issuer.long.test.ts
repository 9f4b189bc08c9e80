import { rm } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { freePort } from "../support/free-port.ts";
import { serveProcess } from "../support/service-process.ts";
import { freshFolder } from "../support/shared.ts";
import { ExampleProcess } from "./example-process.ts";
import { installExamples } from "./installed.ts";

describe("the examples' issuer", () => {
  it("logs a user in at a gateway, and out again", async function () {
    this.timeout(300_000);
    const installed = await installExamples("newest");
    const folder = await freshFolder();
    const service = await serveProcess(
      { DATABASE_URL: `sqlite:${join(folder, "x.db")}` },
      { main: installed.main },
    );
    const url = `http://127.0.0.1:${await freePort()}`;
    const env = { ISSUER: url, AUDIENCE: "orders", BLACKLIST_ADDRESS: service.address };
    const issuer = await ExampleProcess.start(join(installed.folder, "issuer.ts"), env);
    const gateway = await ExampleProcess.start(join(installed.folder, "node-http/main.ts"), {
      ...env,
      JWKS_URL: `${url}/keys`,
    });
    try {
      const token = await (await fetch(`${url}/login`, { method: "POST" })).text();
      const statuses = [
        (await gateway.ask("POST /transfers", token)).status,
        (await issuer.ask("POST /logout", token)).status,
        (await issuer.ask("POST /logout", token)).status,
        (await gateway.ask("POST /transfers", token)).status,
      ];
      expect(statuses).to.deep.equal([200, 204, 204, 401]);
      const { tokens } = await service.client.list({});
      expect(tokens.map(({ reason }) => reason)).to.deep.equal(["logged out"]);
    } finally {
      await gateway.kill();
      await issuer.kill();
      await service.kill();
      await rm(folder, { recursive: true });
    }
  });
});
