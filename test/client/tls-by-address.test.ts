import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { JsonGeneralNames } from "@peculiar/x509";
import { expect } from "chai";
import type { BlacklistClient } from "../../src/client/blacklist-client.ts";
import { clientCredentials, connect } from "../../src/client/connect.ts";
import { runCli } from "../cli/run-cli.ts";
import { type Authority, createAuthority } from "../support/certificates.ts";
import { type RunningService, startService } from "../support/service.ts";
import { freshFolder } from "../support/shared.ts";
import { until } from "../support/until.ts";
import { failure } from "./failure.ts";

const EXPIRES = new Date(Date.UTC(2035, 0, 1));
/** The second if the machine is too busy for an attempt to end in time. */
const NOT_CONNECTED = ["UNAVAILABLE", "DEADLINE_EXCEEDED"];
const ip = (...values: string[]): JsonGeneralNames => values.map((value) => ({ type: "ip", value }));

describe("TLS to a service at an IP address", () => {
  let authority: Authority;
  let folder: string;
  let closers: (() => unknown)[];
  let warnings: Error[];
  const onWarning = (warning: Error) => warnings.push(warning);

  before(async () => {
    authority = await createAuthority();
  });

  beforeEach(async () => {
    folder = await freshFolder();
    closers = [];
    warnings = [];
    process.on("warning", onWarning);
  });

  afterEach(async () => {
    for (const close of closers.reverse()) await close();
    process.off("warning", onWarning);
    expect(warnings).to.deep.equal([]);
  });

  /** A service with a certificate for `names`. */
  async function serve(names: JsonGeneralNames, host = "127.0.0.1"): Promise<RunningService> {
    const { certificate, key } = await authority.issue(names);
    const file = (name: string) => join(folder, `${closers.length}-${name}`);
    const files = { TLS_CERT_FILE: file("cert.pem"), TLS_KEY_FILE: file("key.pem") };
    await writeFile(files.TLS_CERT_FILE, certificate);
    await writeFile(files.TLS_KEY_FILE, key);
    const running = await startService({
      url: `sqlite:${file("x.db")}`,
      env: { LISTEN_ADDRESS: `${host}:0`, ...files },
    });
    closers.push(() => running.stop());
    return running;
  }

  function client(
    address: string | string[],
    { mode = "remote", ca = authority.certificate }: { mode?: "remote" | "local"; ca?: string } = {},
  ): BlacklistClient {
    const credentials = clientCredentials({ tls: { ca: Buffer.from(ca) } });
    const made = connect({ address, credentials, mode, log: { warn() {} } });
    closers.push(() => made.close());
    return made;
  }

  for (const mode of ["remote", "local"] as const) {
    it(`connects if the certificate contains the address (${mode})`, async () => {
      const { address } = await serve(ip("127.0.0.1"));
      const blacklist = client(address, { mode });
      await blacklist.blacklist([{ jti: "a", expiresAt: EXPIRES }]);
      expect(await blacklist.areBlacklisted(["a", "b"])).to.deep.equal([true, false]);
    });
  }

  it("connects over IPv6", async function () {
    const running = await serve(ip("::1"), "[::1]").catch((error: Error) => {
      if (/EADDRNOTAVAIL|EAFNOSUPPORT/.test(error.message)) this.skip();
      throw error;
    });
    expect(await client(running.address).isBlacklisted("a")).to.equal(false);
    expect(await client([running.address, running.address]).isBlacklisted("a")).to.equal(false);
  });

  it("connects to a gRPC target that is an address", async () => {
    const { address } = await serve(ip("127.0.0.1"));
    for (const target of [`dns:///${address}`, `ipv4:${address}`]) {
      expect(await client(target).isBlacklisted("a"), target).to.equal(false);
    }
  });

  it("connects to each of several addresses if its certificate contains it", async () => {
    const [first, second] = [await serve(ip("127.0.0.1")), await serve(ip("127.0.0.2"), "127.0.0.2")];
    const blacklist = client([first.address, second.address]);
    await blacklist.isBlacklisted("a");
    await first.stop();
    await until(
      () =>
        blacklist.isBlacklisted("a", { timeoutMs: 500 }).then(
          (is) => !is,
          () => false,
        ),
      { withinMs: 5000, what: "the second service answers" },
    );
    expect(await client(second.address).isBlacklisted("a")).to.equal(false);
  });

  it("connects to several addresses if the certificate contains the first", async () => {
    const second = await serve(ip("127.0.0.1"), "127.0.0.2");
    // Nothing listens at the first.
    expect(await client(["127.0.0.1:1", second.address]).isBlacklisted("a")).to.equal(false);
  });

  const wrong: [string, JsonGeneralNames][] = [
    ["another address", ip("127.0.0.3")],
    ["a name", [{ type: "dns", value: "localhost" }]],
    ["the address as a name", [{ type: "dns", value: "127.0.0.1" }]],
    ["nothing", []],
  ];
  for (const [what, names] of wrong) {
    it(`refuses a certificate that contains ${what}`, async () => {
      const { address } = await serve(names);
      const calls = [client(address), client([address, address]), client([address, "127.0.0.2:1"])].map(
        (blacklist) => failure(blacklist.isBlacklisted("a", { timeoutMs: 1000 })),
      );
      for (const { code } of await Promise.all(calls)) expect(code).to.be.oneOf(NOT_CONNECTED);
    });
  }

  it("refuses a certificate of another authority", async () => {
    const { address } = await serve(ip("127.0.0.1"));
    const { certificate: ca } = await createAuthority("stranger");
    const { code } = await failure(client(address, { ca }).isBlacklisted("a", { timeoutMs: 1000 }));
    expect(code).to.be.oneOf(NOT_CONNECTED);
  });

  it("works the same for commands", async () => {
    const [right, wrong] = [await serve(ip("127.0.0.1")), await serve(ip("127.0.0.3"))];
    const cacert = join(folder, "ca.pem");
    await writeFile(cacert, authority.certificate);
    const check = (address: string) => runCli(["check", "a", "--address", address, "--cacert", cacert]);
    const [connected, refused] = [await check(right.address), await check(wrong.address)];
    expect({
      connectedExit: connected.exitCode,
      connectedStderr: connected.stderr,
      refusedExit: refused.exitCode,
    }).to.deep.equal({ connectedExit: 0, connectedStderr: "", refusedExit: 69 });
  });
});
