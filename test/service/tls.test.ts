import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { connect, type TLSSocket } from "node:tls";
import { credentials } from "@grpc/grpc-js";
import { expect } from "chai";
import type { Clock } from "../../src/clock.ts";
import { systemClock } from "../../src/clock.ts";
import { TLS_RELOAD_MS } from "../../src/limits.ts";
import { type Authority, createAuthority } from "../support/certificates.ts";
import { checkHealth } from "../support/health-client.ts";
import { RawChannel } from "../support/raw-channel.ts";
import { rejection } from "../support/rejection.ts";
import { type RunningService, startService } from "../support/service.ts";
import { freshFolder } from "../support/shared.ts";

/** The system's clock, except that a test says when it is time to look at the files again. */
class ImpatientClock implements Clock {
  #reload = () => {};

  now = systemClock.now.bind(systemClock);
  monotonic = systemClock.monotonic.bind(systemClock);

  schedule(delayMs: number, callback: () => void): () => void {
    if (delayMs !== TLS_RELOAD_MS) return systemClock.schedule(delayMs, callback);
    this.#reload = callback;
    return () => {};
  }

  lookNow(): void {
    this.#reload();
  }
}

describe("TLS", () => {
  let authority: Authority;
  let folder: string;
  let clock: ImpatientClock;
  let running: RunningService | undefined;

  beforeEach(async () => {
    authority = await createAuthority();
    folder = await freshFolder();
    clock = new ImpatientClock();
  });

  afterEach(async () => {
    await running?.stop();
    running = undefined;
  });

  const file = (name: string) => join(folder, name);

  /** New files; returns the certificate's text. */
  async function install(issuer = authority): Promise<string> {
    const { certificate, key } = await issuer.issue([{ type: "dns", value: "localhost" }]);
    await writeFile(file("cert.pem"), certificate);
    await writeFile(file("key.pem"), key);
    return certificate;
  }

  async function serve(env: Record<string, string> = {}): Promise<RunningService> {
    running = await startService({
      url: `sqlite:${file("token-blacklist.db")}`,
      env: { TLS_CERT_FILE: file("cert.pem"), TLS_KEY_FILE: file("key.pem"), ...env },
      clock,
    });
    return running;
  }

  const port = () => Number(running?.address.split(":")[1]);

  /** What the service shows to whoever connects now. */
  async function shown(): Promise<string> {
    const socket = connect({
      port: port(),
      host: "localhost",
      ca: authority.certificate,
      ALPNProtocols: ["h2"],
    });
    await once(socket, "secureConnect");
    const text = socket.getPeerX509Certificate()?.toString().trim() ?? "";
    socket.destroy();
    return text;
  }

  const trusting = (ca = authority.certificate) =>
    new RawChannel(`localhost:${port()}`, {}, credentials.createSsl(Buffer.from(ca)));

  it("answers those who trust its certificate, and nobody in plain text", async () => {
    await install();
    await serve();
    const strangers = await createAuthority();
    const [right, wrong, plain] = [
      trusting(),
      trusting(strangers.certificate),
      new RawChannel(`localhost:${port()}`),
    ];
    expect(await checkHealth(right)).to.be.oneOf(["SERVING", "NOT_SERVING"]);
    for (const channel of [wrong, plain])
      expect(await rejection(checkHealth(channel))).to.have.property("code", 14);
    for (const channel of [right, wrong, plain]) channel.close();
  });

  it("takes over new certificates, and no connection ends by it", async () => {
    const first = await install();
    await serve();
    const channel = trusting();
    await checkHealth(channel);
    const peer = () => running?.logs().findLast(({ service }) => service === "grpc.health.v1.Health")?.peer;
    const before = peer();
    expect(await shown()).to.equal(first.trim());
    const second = await install();
    clock.lookNow();
    expect(await shown()).to.equal(second.trim());
    await checkHealth(channel);
    expect(peer()).to.equal(before);
    channel.close();
  });

  it("keeps the old ones while new ones cannot be used, and says so once", async () => {
    const first = await install();
    await serve();
    await writeFile(file("key.pem"), (await authority.issue([])).key);
    for (let times = 0; times < 3; times++) clock.lookNow();
    expect(await shown()).to.equal(first.trim());
    const complaints = () => running?.logs().filter(({ msg }) => /cannot be used/.test(String(msg)));
    expect(complaints()).to.have.length(1);
    const second = await install();
    clock.lookNow();
    expect(await shown()).to.equal(second.trim());
  });

  it("does not take a ticket for a certificate: other authorities count from the next connection on", async () => {
    await install();
    await writeFile(file("ca.pem"), authority.certificate);
    await serve({ TLS_CLIENT_CA_FILE: file("ca.pem"), TLS_CLIENT_ROLES: "DNS:check.test=check" });
    const own = await authority.issue([{ type: "dns", value: "check.test" }]);
    const common = {
      port: port(),
      host: "localhost",
      ca: authority.certificate,
      cert: own.certificate,
      key: own.key,
      ALPNProtocols: ["h2"],
    };
    const first = connect(common);
    const session = await firstTicket(first);
    first.destroy();
    await writeFile(file("ca.pem"), (await createAuthority("another")).certificate);
    clock.lookNow();
    const second = connect({ ...common, session });
    second.on("error", () => {});
    await once(second, "close");
    expect(running?.logs().map(({ msg }) => msg)).to.include("refused a client's certificate");
  });

  it("is refused at the start in one line when the key is another certificate's", async () => {
    await install();
    await writeFile(file("key.pem"), (await authority.issue([])).key);
    expect(String(await rejection(serve()))).to.match(/TLS_CERT_FILE.*cannot be used/);
  });
});

async function firstTicket(socket: TLSSocket): Promise<Buffer> {
  const [session] = (await once(socket, "session")) as [Buffer];
  return session;
}
