import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect } from "chai";
import { type Authority, createAuthority } from "../support/certificates.ts";
import { freshFolder } from "../support/shared.ts";

const PROGRAM = `
  const { fetchJwks } = await import(${JSON.stringify(new URL("../../src/auth/fetch-jwks.ts", import.meta.url).href)});
  console.log(await fetchJwks({ kind: "url", url: process.argv[1] }).catch((error) => error.message));
`;

describe("a key set at an IP address", () => {
  let authority: Authority;
  let server: Server | undefined;

  before(async () => {
    authority = await createAuthority();
  });

  afterEach(() => {
    server?.close();
  });

  /** The result of a process that trusts the CA, and its standard error. */
  async function read(names: Parameters<Authority["issue"]>[0]): Promise<{ stdout: string; stderr: string }> {
    const { certificate: cert, key } = await authority.issue(names);
    const ca = join(await freshFolder(), "ca.pem");
    await writeFile(ca, authority.certificate);
    server = createServer({ cert, key }, (_, response) => response.end('{"keys":[]}'));
    await new Promise<void>((resolve) => server?.listen(0, "127.0.0.1", resolve));
    const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/keys`;
    const args = ["--import", "tsx", "--input-type=module", "-e", PROGRAM, url];
    // Node.js reads it at start, so a process is needed.
    return promisify(execFile)(process.execPath, args, { env: { ...process.env, NODE_EXTRA_CA_CERTS: ca } });
  }

  it("is read if the certificate has the address", async () => {
    expect(await read([{ type: "ip", value: "127.0.0.1" }])).to.deep.equal({
      stdout: '{"keys":[]}\n',
      stderr: "",
    });
  });

  it("is not read if the certificate has another address or a name", async () => {
    const refused = {
      stdout: "there was no response (ERR_TLS_CERT_ALTNAME_INVALID)\n",
      stderr: "",
    };
    expect(await read([{ type: "ip", value: "127.0.0.2" }])).to.deep.equal(refused);
    server?.close();
    expect(await read([{ type: "dns", value: "localhost" }])).to.deep.equal(refused);
  });
});
