import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { credentials } from "@grpc/grpc-js";
import { expect } from "chai";
import { after, afterEach, before, describe, it } from "mocha";
import type { BlacklistClient } from "../../src/client/blacklist-client.ts";
import { connect } from "../../src/client/connect.ts";
import { clientCredentials } from "../../src/client/credentials.ts";
import { Asker } from "../support/asker.ts";
import { createAuthority } from "../support/certificates.ts";
import { freePort } from "../support/free-port.ts";
import { type Nginx, startNginx } from "../support/nginx.ts";
import { RawChannel } from "../support/raw-channel.ts";
import { rejection } from "../support/rejection.ts";
import { type RunningService, startService } from "../support/service.ts";
import { freshFolder } from "../support/shared.ts";
import { until } from "../support/until.ts";
import { Watcher } from "../support/watcher.ts";

/** A jti of maximum length for each number. */
const longJti = (number: number) => `${number} `.padEnd(255, "x");
/** NGINX's default timeout between two bytes. */
const NGINX_TIMEOUT_MS = 60_000;

describe("the service behind NGINX's grpc_pass, configured as documented", function () {
  this.timeout(NGINX_TIMEOUT_MS + 60_000);
  let nginx: Nginx;
  let running: RunningService;
  let port: number;
  let ca: Buffer;
  const clients: BlacklistClient[] = [];
  const channels: RawChannel[] = [];

  before(async function () {
    const folder = await freshFolder();
    const authority = await createAuthority();
    const { certificate, key } = await authority.issue([{ type: "dns", value: "localhost" }]);
    const file = (name: string) => join(folder, name);
    for (const [name, text] of [
      ["ca.pem", authority.certificate],
      ["server.pem", certificate],
      ["server.key", key],
    ] as const) {
      await writeFile(file(name), text);
    }
    ca = Buffer.from(authority.certificate);
    running = await startService({
      url: `sqlite:${file("x.db")}`,
      env: { TLS_CERT_FILE: file("server.pem"), TLS_KEY_FILE: file("server.key"), INDEX: "on" },
    });
    port = await freePort();
    const page = await readFile(new URL("../../docs/operations.md", import.meta.url), "utf8");
    let [, http = ""] = /```nginx\n(.*?)```/s.exec(page) ?? [];
    for (const [documented, ours] of [
      ["listen 50050 ssl http2;", `listen 127.0.0.1:${port} ssl http2;`],
      ["server 127.0.0.1:50051;", `server ${running.address};`],
      ["    server 127.0.0.1:50052;\n", ""],
      ["secure/", `${folder}/`],
    ] as const) {
      expect(http.split(documented), documented).to.have.length.above(1);
      http = http.replaceAll(documented, ours);
    }
    nginx = await startNginx(this, { http, port });
  });
  afterEach(() => {
    for (const client of clients.splice(0)) client.close();
    for (const opened of channels.splice(0)) opened.close();
  });
  after(async () => {
    await nginx?.stop();
    await running?.stop();
  });

  function channel(): RawChannel {
    const opened = new RawChannel(`localhost:${port}`, {}, credentials.createSsl(ca));
    channels.push(opened);
    return opened;
  }

  async function open(): Promise<BlacklistClient> {
    const client = connect({
      address: `localhost:${port}`,
      credentials: clientCredentials({ tls: { ca } }),
      log: { warn() {} },
    });
    clients.push(client);
    await until(() => client.state === "ready", { withinMs: 10_000, what: "the client is ready" });
    return client;
  }

  it("receives a request of more than a megabyte", async () => {
    const client = await open();
    // No issuer is configured, so the service refuses all of them.
    const tokens = Array.from({ length: 100 }, () => ({ jwt: "x".repeat(16_000) }));
    expect(await rejection(client.blacklist(tokens))).to.include({
      code: "INVALID_ARGUMENT",
      reason: "INVALID_REQUEST",
    });
  });

  it("receives more than a megabyte on one stream", async () => {
    const asker = new Asker(channel());
    const jtis = Array.from({ length: 1000 }, (_, number) => longJti(number));
    for (let round = 0; round < 8; round++) {
      expect(await asker.ask({ jtis }))
        .to.have.property("verdicts")
        .with.length(jtis.length);
    }
    asker.stream.cancel();
  });

  it("keeps streams that are idle for longer than NGINX's default timeout", async () => {
    const watcher = await Watcher.begin(channel()).complete();
    const asker = new Asker(channel());
    await asker.ask({ jtis: ["a"] });
    // Real time is required here.
    await delay(NGINX_TIMEOUT_MS + 5000);
    expect(await watcher.sync()).to.equal("synced");
    expect(await asker.ask({ jtis: ["a"] })).to.have.property("verdicts");
    watcher.cancel();
    asker.stream.cancel();
  });
});
