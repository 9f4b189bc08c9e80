import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import type { ServiceError } from "../../src/errors.ts";
import { migrate } from "../../src/start/migrate.ts";
import { type DatabaseAddress, parseDatabaseUrl } from "../../src/store/database-url.ts";
import { openEngine, openStore } from "../../src/store/open-store.ts";
import type { Store } from "../../src/store/store.ts";
import { systemClock } from "../../src/time/clock.ts";
import { type Authority, createAuthority } from "../support/certificates.ts";
import { FaultProxy } from "../support/fault-proxy.ts";
import type { PrivateMariadb } from "../support/mariadb.ts";
import { ownMariadb } from "../support/own-mariadb.ts";
import { rejection } from "../support/rejection.ts";
import { freshFolder } from "../support/shared.ts";
import { entry, expiryContext, jti, LEEWAY } from "./open-test-store.ts";

type Server = Extract<DatabaseAddress, { kind: "mysql" }>;

describe("the store on MySQL over TLS", function () {
  this.timeout(60_000);
  let authority: Authority;
  let stranger: Authority;
  let server: PrivateMariadb;
  let plain: PrivateMariadb;
  let proxy: FaultProxy;
  let sent: Buffer[];
  let opened: Store[];

  before(async function () {
    [authority, stranger] = await Promise.all([createAuthority(), createAuthority("stranger")]);
    server = await ownMariadb(this, {
      extraArgs: await tlsArgs([
        { type: "dns", value: "localhost" },
        { type: "ip", value: "127.0.0.1" },
      ]),
    });
    plain = await ownMariadb(this, {
      extraArgs: [server.kind === "mysql" ? "--tls-version=" : "--skip-ssl"],
    });
  });

  after(async () => {
    await Promise.all([server?.stop(), plain?.stop()]);
  });

  beforeEach(() => {
    opened = [];
    sent = [];
  });

  afterEach(async () => {
    await Promise.all(opened.map((store) => store.close()));
    await proxy?.close();
  });

  async function tlsArgs(names: Parameters<Authority["issue"]>[0]): Promise<string[]> {
    const folder = await freshFolder();
    const { certificate, key } = await authority.issue(names);
    const files = { ca: authority.certificate, cert: certificate, key };
    for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
    return Object.keys(files).map((name) => `--ssl-${name}=${join(folder, name)}`);
  }

  /** A migrated database of the server, behind a proxy that records the traffic. */
  async function addressOf(where: PrivateMariadb, changed: Partial<Server> = {}): Promise<Server> {
    const { url } = await where.createDatabase();
    await migrate("up", parseDatabaseUrl(url), () => {});
    proxy = await FaultProxy.start({ port: where.port });
    proxy.onClientData = (chunk) => {
      sent.push(Buffer.from(chunk));
      return true;
    };
    const address = parseDatabaseUrl(url) as Server;
    return { ...address, host: "localhost", port: proxy.port, password: "", ...changed };
  }

  function open(address: Server): Store {
    const store = openStore(address, { clock: systemClock, leewayMs: LEEWAY });
    opened.push(store);
    return store;
  }

  /** The error for the operator when the store cannot be opened. */
  async function problem(address: Server): Promise<string> {
    const error = (await rejection(open(address).open())) as ServiceError;
    expect(error.reason).to.equal("STORE_UNAVAILABLE");
    expect(await rejection(open(address).read([]))).to.include({ reason: "STORE_UNAVAILABLE" });
    const { code, message } = error.cause as { code?: string; message: string };
    return `${code}: ${message}`;
  }

  const wasSent = (text: string) => Buffer.concat(sent).includes(text);

  it("works as without TLS, and the traffic is not readable", async () => {
    const address = await addressOf(server, { tls: { ca: authority.certificate } });
    const store = open(address);
    await store.open();
    await store.write([entry("c4n4ry", { reason: "c4n4ry" })], expiryContext());
    const tail = store.openTail();
    expect([
      [...(await store.read([jti("c4n4ry")])).found.keys()],
      (await tail.scan(new Uint8Array())).entries.length,
      await store.countBy({ revokedBy: "", limit: 10, ...expiryContext() }),
    ]).to.deep.equal([["c4n4ry"], 1, 1]);
    expect([
      wasSent("c4n4ry"),
      wasSent("root"),
      wasSent(address.database),
      wasSent("blacklist"),
    ]).to.deep.equal(Array(4).fill(false));
    expect(proxy.counts.accepted).to.be.at.least(4);
  });

  it("is encrypted by the server's own report on every connection, the migration's included", async () => {
    const address = await addressOf(server, { tls: { ca: authority.certificate } });
    const engine = openEngine(address);
    try {
      const [[row]] = (await engine.knex.raw("SHOW STATUS LIKE 'Ssl_cipher'")) as [[{ Value: string }]];
      const rows = await engine.select("SHOW STATUS LIKE 'Ssl_cipher'");
      expect([row.Value !== "", rows.map(([, cipher]) => cipher !== "")]).to.deep.equal([true, [true]]);
    } finally {
      await engine.close();
    }
    sent = [];
    await migrate("status", address, () => {});
    expect([wasSent("blacklist"), wasSent(address.database)]).to.deep.equal([false, false]);
  });

  it("refuses a server whose certificate is from another authority", async () => {
    const address = await addressOf(server, { tls: { ca: stranger.certificate } });
    expect(await problem(address)).to.match(/self-signed certificate|unable to verify|signature failure/);
    expect([wasSent("root"), wasSent(address.database)]).to.deep.equal([false, false]);
  });

  it("refuses a server whose certificate is not from an authority that the system trusts", async () => {
    expect(await problem(await addressOf(server, { tls: {} }))).to.match(/self-signed|unable to/);
  });

  it("refuses a server without TLS, and sends it no user name", async () => {
    const address = await addressOf(plain, {
      ...{ user: "c4n4ry-user", password: "c4n4ry-password", tls: { ca: authority.certificate } },
    });
    expect(await problem(address)).to.match(/^HANDSHAKE_NO_SSL_SUPPORT: /);
    expect(await problem({ ...address, tls: {} })).to.match(/^HANDSHAKE_NO_SSL_SUPPORT: /);
    expect([sent, proxy.counts.accepted > 0]).to.deep.equal([[], true]);
  });

  it("refuses a server from whose greeting TLS was removed on the way", async () => {
    const address = await addressOf(server, {
      ...{ user: "c4n4ry-user", tls: { ca: authority.certificate } },
    });
    proxy.onServerData = (chunk) => {
      withoutTls(chunk);
      return true;
    };
    expect(await problem(address)).to.match(/^HANDSHAKE_NO_SSL_SUPPORT: /);
    expect(sent).to.deep.equal([]);
  });

  it("fails if the connection breaks during the handshake, and does not continue without TLS", async () => {
    const address = await addressOf(server, { tls: { ca: authority.certificate } });
    proxy.onClientData = (chunk) => {
      sent.push(Buffer.from(chunk));
      return sent.length % 2 === 1;
    };
    await problem(address);
    expect([wasSent("root"), wasSent(address.database)]).to.deep.equal([false, false]);
  });

  it("is not encrypted unless configured", async () => {
    const address = await addressOf(server);
    await open(address).open();
    expect(wasSent(address.database)).to.equal(true);
  });

  describe("whose certificate names another host", () => {
    let other: PrivateMariadb;

    afterEach(() => other?.stop());

    for (const [host, names] of [
      ["localhost", [{ type: "dns", value: "db.internal" }]],
      ["localhost", [{ type: "ip", value: "127.0.0.1" }]],
      ["127.0.0.1", [{ type: "dns", value: "localhost" }]],
      ["127.0.0.1", [{ type: "ip", value: "10.0.0.7" }]],
    ] as const) {
      it(`is refused: ${names[0].value} for ${host}`, async function () {
        other = await ownMariadb(this, { extraArgs: await tlsArgs([...names]) });
        const address = await addressOf(other, { host, tls: { ca: authority.certificate } });
        expect(await problem(address)).to.match(/ERR_TLS_CERT_ALTNAME_INVALID|does not match/);
        expect([wasSent("root"), wasSent(address.database)]).to.deep.equal([false, false]);
      });
    }

    it("is accepted: 127.0.0.1 for 127.0.0.1", async function () {
      other = await ownMariadb(this, { extraArgs: await tlsArgs([{ type: "ip", value: "127.0.0.1" }]) });
      const address = await addressOf(other, { host: "127.0.0.1", tls: { ca: authority.certificate } });
      await open(address).open();
    });
  });
});

/** Clears CLIENT_SSL in the capabilities of the server's greeting, which end the text of its version and 13 bytes more. */
function withoutTls(chunk: Buffer): void {
  const isGreeting = chunk[3] === 0 && chunk[4] === 10;
  if (!isGreeting) return;
  const flags = chunk.indexOf(0, 5) + 1 + 4 + 8 + 1;
  chunk.writeUInt16LE(chunk.readUInt16LE(flags) & ~0x0800, flags);
}
