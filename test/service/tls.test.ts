import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { connect, type TLSSocket } from "node:tls";
import { credentials } from "@grpc/grpc-js";
import { expect } from "chai";
import { ConfigError } from "../../src/config/config.ts";
import { LOGGED_REFUSALS } from "../../src/logging/log-sampling.ts";
import { type Authority, createAuthority } from "../support/certificates.ts";
import { checkHealth } from "../support/health-client.ts";
import { RawChannel } from "../support/raw-channel.ts";
import { rejection } from "../support/rejection.ts";
import { ReloadingClock } from "../support/reloading-clock.ts";
import { scrape } from "../support/scrape.ts";
import { type RunningService, startService } from "../support/service.ts";
import { freshFolder } from "../support/shared.ts";

describe("TLS", () => {
  let authority: Authority;
  let folder: string;
  let clock: ReloadingClock;
  let running: RunningService | undefined;

  beforeEach(async () => {
    authority = await createAuthority();
    folder = await freshFolder();
    clock = new ReloadingClock();
  });

  afterEach(async () => {
    await running?.stop();
    running = undefined;
  });

  const file = (name: string) => join(folder, name);

  /** New files; returns the certificate's text. */
  async function install(issuer = authority, validMs?: readonly [number, number]): Promise<string> {
    const { certificate, key } = await issuer.issue(
      [{ type: "dns", value: "localhost" }],
      validMs && { validMs },
    );
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

  /** The certificate presented on a new connection. */
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

  it("serves clients that trust its certificate, and none in plain text", async () => {
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

  it("loads new certificates without ending connections", async () => {
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

  it("keeps the old certificates while new ones cannot be used, and logs that once", async () => {
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

  it("does not resume sessions, so that changed CAs apply from the next connection on", async () => {
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

  it("samples log lines about rejected certificates and failed handshakes", async () => {
    await install();
    await writeFile(file("ca.pem"), authority.certificate);
    await serve({ TLS_CLIENT_CA_FILE: file("ca.pem"), TLS_CLIENT_ROLES: "DNS:check.test=check" });
    const strangers = await createAuthority("strangers");
    const wrong = await strangers.issue([{ type: "dns", value: "check.test" }]);
    const ends = async (options: object) => {
      const socket = connect({
        ...{ port: port(), host: "localhost", ca: authority.certificate, ALPNProtocols: ["h2"] },
        ...options,
      });
      socket.on("error", () => {});
      await new Promise((resolve) => socket.once("close", resolve));
    };
    for (let tried = 0; tried < 3 * LOGGED_REFUSALS; tried++) {
      await ends({ cert: wrong.certificate, key: wrong.key });
      await ends({ maxVersion: "TLSv1.1", minVersion: "TLSv1.1", ciphers: "ALL:@SECLEVEL=0" });
    }
    for (const about of ["refused a client's certificate", "no TLS connection"]) {
      const said = (running?.logs() ?? []).filter(({ msg }) => msg === about);
      const told = said.reduce((sum, { suppressed = 0 }) => sum + 1 + Number(suppressed), 0);
      expect(said.length, about)
        .to.be.lessThan(told + 1)
        .and.at.least(LOGGED_REFUSALS);
      expect(said.length, about).to.be.lessThan(3 * LOGGED_REFUSALS);
    }
  });

  it("is refused at start in one line if the key belongs to another certificate", async () => {
    await install();
    await writeFile(file("key.pem"), (await authority.issue([])).key);
    const refusal = await rejection(serve());
    expect(refusal).to.be.instanceOf(ConfigError);
    expect((refusal as ConfigError).problems).to.deep.equal([
      "TLS_KEY_FILE is not the key of the certificate in TLS_CERT_FILE: use a certificate and the key it was issued for",
    ]);
  });

  describe("with an expiring certificate", () => {
    const HOUR = 3_600_000;
    const DAY = 24 * HOUR;

    const installValid = (...validMs: readonly [number, number]) => install(authority, validMs);
    const complaints = () =>
      (running?.logs() ?? []).filter(({ msg }) => String(msg).startsWith("a certificate"));
    const ready = async () => {
      const response = await fetch(`${running?.adminUrl}/readyz`);
      return [response.status, await response.text()] as const;
    };
    const inUse = async (part: "not_before" | "not_after") => {
      const metric = (await scrape(String(running?.adminUrl))).get(
        `tokenblacklist_certificate_${part}_timestamp_seconds`,
      );
      return Object.fromEntries(
        (metric?.series ?? []).map(({ labels, value }) => [labels.certificate, value]),
      );
    };

    const STATES = [
      ["has three weeks left", [-DAY, 21 * DAY], undefined, "serving\n"],
      [
        "is about to expire",
        [-DAY, 13 * DAY],
        "a certificate is about to expire",
        /^serving\nthe certificate of TLS_CERT_FILE expires at \S+Z\n$/,
      ],
      [
        "has expired",
        [-2 * DAY, -HOUR],
        "a certificate has expired",
        /^serving\nthe certificate of TLS_CERT_FILE expired at \S+Z\n$/,
      ],
      [
        "is not valid yet",
        [HOUR, 30 * DAY],
        "a certificate is not valid yet",
        /^serving\nthe certificate of TLS_CERT_FILE is not valid before \S+Z\n$/,
      ],
    ] as const;
    for (const [how, validMs, says, detail] of STATES) {
      it(`starts, is ready, and reports it in log, /readyz and metrics: one that ${how}`, async () => {
        const pem = await install(authority, validMs);
        await serve();
        await running?.indexLoaded();
        const shownBy = new X509Certificate(pem);
        expect(
          complaints().map(({ msg, certificate, setting }) => [msg, certificate, setting]),
        ).to.deep.equal(says === undefined ? [] : [[says, "server", "TLS_CERT_FILE"]]);
        const [status, text] = await ready();
        expect(status).to.equal(200);
        if (typeof detail === "string") expect(text).to.equal(detail);
        else expect(text).to.match(detail);
        expect([await inUse("not_before"), await inUse("not_after")]).to.deep.equal([
          { server: Date.parse(shownBy.validFrom) / 1000 },
          { server: Date.parse(shownBy.validTo) / 1000 },
        ]);
      });
    }

    it("reports the first expiry in its chain, and the last of its CAs", async () => {
      await installValid(-DAY, 100 * DAY);
      const own = await readFile(file("cert.pem"), "utf8");
      // It is valid for a day.
      await writeFile(file("cert.pem"), `${own}\n${authority.certificate}`);
      await writeFile(file("ca.pem"), `${own}\n${authority.certificate}`);
      await serve({ TLS_CLIENT_CA_FILE: file("ca.pem"), TLS_CLIENT_ROLES: "DNS:check.test=check" });
      const [first, last] = [authority.certificate, own].map(
        (pem) => Date.parse(new X509Certificate(pem).validTo) / 1000,
      );
      expect(await inUse("not_after")).to.deep.equal({ server: first, "client-ca": last });
      expect((await ready())[1]).to.match(/the certificate of TLS_CERT_FILE expires at/);
    });

    for (const [how, validMs] of [
      ["has expired", [-2 * DAY, -HOUR]],
      ["is not valid yet", [HOUR, DAY]],
    ] as const) {
      it(`keeps a valid certificate instead of one that ${how}, and loads the next valid one`, async () => {
        const first = await installValid(-DAY, DAY);
        await serve();
        await install(authority, validMs);
        for (let times = 0; times < 3; times++) clock.lookNow();
        expect(await shown()).to.equal(first.trim());
        const kept = (running?.logs() ?? []).filter(({ msg }) => /old ones stay/.test(String(msg)));
        expect(kept.map(({ problem }) => problem)).to.deep.equal([`the new certificate ${how}`]);
        const second = await installValid(-DAY, 20 * DAY);
        clock.lookNow();
        expect(await shown()).to.equal(second.trim());
      });
    }

    it("replaces an expired certificate by another expired one, so that the newest is used", async () => {
      await installValid(-3 * DAY, -2 * HOUR);
      await serve();
      await installValid(-2 * DAY, -HOUR);
      clock.lookNow();
      expect(running?.logs().map(({ msg }) => msg)).to.include(
        "took over new TLS certificates: new connections use them",
      );
    });
  });

  it("trusts no public CA when the file of client CAs is empty for a moment", async () => {
    await install();
    await writeFile(file("ca.pem"), authority.certificate);
    await serve({ TLS_CLIENT_CA_FILE: file("ca.pem"), TLS_CLIENT_ROLES: "DNS:check.test=check" });
    await writeFile(file("ca.pem"), "");
    clock.lookNow();
    const kept = (running?.logs() ?? []).filter(({ msg }) => /old ones stay/.test(String(msg)));
    expect(kept.map(({ problem }) => problem)).to.deep.equal([
      "TLS_CLIENT_CA_FILE names a file that is empty",
    ]);
  });
});

async function firstTicket(socket: TLSSocket): Promise<Buffer> {
  const [session] = (await once(socket, "session")) as [Buffer];
  return session;
}
