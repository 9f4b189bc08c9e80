import { X509Certificate } from "node:crypto";
import type { AddressInfo } from "node:net";
import { connect, createServer, type PeerCertificate, type TLSSocket } from "node:tls";
import { expect } from "chai";
import { alternativeNames, CertificateAuthenticator } from "../../src/auth/certificate-authenticator.ts";
import { parseCertificateRoles } from "../../src/auth/certificate-roles.ts";
import type { EpochMs } from "../../src/entry.ts";
import { type Authority, type CertificateAndKey, createAuthority } from "../support/certificates.ts";
import { rejection, thrownBy } from "../support/rejection.ts";

type Names = Parameters<Authority["issue"]>[0];

const INJECTIONS: readonly [name: string, names: Names, read: readonly string[]][] = [
  ["a comma", [{ type: "dns", value: "a, URI:spiffe://x" }], ["DNS:a, URI:spiffe://x"]],
  ["a quote and a comma", [{ type: "dns", value: 'a", URI:spiffe://x' }], ['DNS:a", URI:spiffe://x']],
  [
    "quotes around it",
    [{ type: "dns", value: '"a", URI:spiffe://x, "b"' }],
    ['DNS:"a", URI:spiffe://x, "b"'],
  ],
  [
    "a backslash at its end",
    [
      { type: "dns", value: "a\\" },
      { type: "dns", value: "b" },
    ],
    ["DNS:a\\", "DNS:b"],
  ],
  [
    "a backslash before the quote",
    [{ type: "dns", value: 'a\\", URI:spiffe://x' }],
    ['DNS:a\\", URI:spiffe://x'],
  ],
  ["a line's end", [{ type: "dns", value: "a\n, URI:spiffe://x" }], ["DNS:a\n, URI:spiffe://x"]],
  [
    "an escape spelled out",
    [{ type: "dns", value: "a\\u002c URI:spiffe://x" }],
    ["DNS:a\\u002c URI:spiffe://x"],
  ],
  ["an apostrophe", [{ type: "email", value: "o', URI:spiffe://x" }], ["email:o', URI:spiffe://x"]],
  ["NUL", [{ type: "dns", value: "a\0, URI:spiffe://x" }], ["DNS:a\0, URI:spiffe://x"]],
  [
    "another kind that claims to be one",
    [
      { type: "dn", value: "CN=URI:spiffe://x" },
      { type: "upn", value: "u, URI:spiffe://x" },
    ],
    ["DirName:CN=URI:spiffe://x", "othername:UPN:u, URI:spiffe://x"],
  ],
];

describe("alternativeNames", () => {
  let authority: Authority;

  before(async () => {
    authority = await createAuthority();
  });

  const textOf = ({ certificate }: CertificateAndKey) =>
    new X509Certificate(certificate).subjectAltName ?? "";

  it("lists names with their kinds, in the certificate's order", async () => {
    const issued = await authority.issue([
      { type: "dns", value: "gateway.internal" },
      { type: "url", value: "spiffe://corp/a,b" },
      { type: "email", value: "ops@corp.example" },
      { type: "ip", value: "10.0.0.7" },
      { type: "dns", value: "*.internal" },
    ]);
    expect(alternativeNames(textOf(issued))).to.deep.equal([
      "DNS:gateway.internal",
      "URI:spiffe://corp/a,b",
      "email:ops@corp.example",
      "IP Address:10.0.0.7",
      "DNS:*.internal",
    ]);
  });

  for (const [what, names, read] of INJECTIONS) {
    it(`parses as many names as there are if one contains ${what}`, async () => {
      const issued = await authority.issue(names);
      expect(alternativeNames(textOf(issued))).to.deep.equal(read);
    });
  }

  it("is empty for an absent or unreadable list", () => {
    for (const text of ["", "gateway.internal", ", DNS:a", 'DNS:"a', 'DNS:"a"b, URI:x', 'DNS:a"b, URI:x']) {
      expect(alternativeNames(text), text).to.deep.equal([]);
    }
  });
});

describe("CertificateAuthenticator", () => {
  const now = () => Date.now() as EpochMs;
  let authority: Authority;

  before(async () => {
    authority = await createAuthority();
  });

  async function certificateWith(names: Names): Promise<PeerCertificate> {
    const { certificate } = await authority.issue(names);
    return new X509Certificate(certificate).toLegacyObject() as PeerCertificate;
  }

  async function principalOf(names: Names, roles: string) {
    const principal = new CertificateAuthenticator(parseCertificateRoles(roles), { now }).principalOf(
      await certificateWith(names),
    );
    return [principal.name, [...principal.roles]];
  }

  it("combines the roles of all configured names, and uses the first as the caller's name", async () => {
    expect(
      await principalOf(
        [
          { type: "dns", value: "unknown.internal" },
          { type: "url", value: "spiffe://corp/auth" },
          { type: "dns", value: "gateway.internal" },
        ],
        "DNS:gateway.internal=check,list URI:spiffe://corp/auth=revoke,check DNS:other.internal=prune",
      ),
    ).to.deep.equal(["URI:spiffe://corp/auth", ["check", "revoke", "list"]]);
  });

  it("gives no role if no name is configured", async () => {
    expect(
      await principalOf([{ type: "dns", value: "stranger.internal" }], "DNS:gateway.internal=check"),
    ).to.deep.equal(["DNS:stranger.internal", []]);
  });

  it("treats a certificate whose configured names have no role as a carrier", async () => {
    const roles = "DNS:proxy.internal=none DNS:b.internal=none DNS:gateway.internal=check";
    const dns = (...values: string[]) => values.map((value) => ({ type: "dns" as const, value }));
    for (const names of [["proxy.internal"], ["unknown.internal", "proxy.internal", "b.internal"]]) {
      const error = await rejection(principalOf(dns(...names), roles));
      expect(error).to.include({ reason: "UNAUTHENTICATED" });
      expect((error as Error).message).to.match(/needs a bearer token .* has no roles/);
    }
    const both = await principalOf(dns("proxy.internal", "gateway.internal"), roles);
    expect(both).to.deep.equal(["DNS:proxy.internal", ["check"]]);
  });

  it("stands in for a lost token, unless it is a carrier or tokens are not accepted", async () => {
    const roles = parseCertificateRoles("DNS:carrier.internal=none DNS:gateway.internal=check");
    const replacesLostToken = async (value: string, acceptsTokens: boolean) =>
      new CertificateAuthenticator(roles, { acceptsTokens, now }).replacesLostToken(
        await certificateWith([{ type: "dns", value }]),
      );
    expect([
      await replacesLostToken("gateway.internal", true),
      await replacesLostToken("unlisted.internal", true),
      await replacesLostToken("carrier.internal", true),
      await replacesLostToken("gateway.internal", false),
    ]).to.deep.equal([true, true, false, false]);
  });

  it("refuses an expired certificate on an open connection, except for running streams", async () => {
    const certificate = await certificateWith([{ type: "dns", value: "a" }]);
    const expiry = Date.parse(certificate.valid_to);
    let at = expiry;
    const certificates = new CertificateAuthenticator(parseCertificateRoles("DNS:a=check"), {
      now: () => at as EpochMs,
    });
    expect(certificates.principalOf(certificate).name).to.equal("DNS:a");
    at = expiry + 1000;
    const error = thrownBy(() => certificates.principalOf(certificate));
    expect(error).to.include({ reason: "UNAUTHENTICATED" });
    expect(certificates.principalOf(certificate, { allowExpired: true }).name).to.equal("DNS:a");
  });

  it("refuses a certificate whose expiry cannot be read", async () => {
    const certificate = { ...(await certificateWith([{ type: "dns", value: "a" }])), valid_to: "some day" };
    const certificates = new CertificateAuthenticator(parseCertificateRoles("DNS:a=check"), { now });
    const error = thrownBy(() => certificates.principalOf(certificate));
    expect(error).to.include({ reason: "UNAUTHENTICATED" });
  });

  it("compares names byte for byte, including their kind", async () => {
    const roles = "DNS:gateway.internal=check URI:spiffe://corp/auth=revoke email:ops@corp.example=prune";
    for (const name of [
      { type: "dns", value: "GATEWAY.internal" },
      { type: "dns", value: "gateway.internal." },
      { type: "dns", value: "gateway.internal.evil.example" },
      { type: "dns", value: "*.internal" },
      { type: "url", value: "gateway.internal" },
      { type: "dns", value: "spiffe://corp/auth" },
      { type: "url", value: "spiffe://corp/auth/" },
      { type: "dns", value: "ops@corp.example" },
    ] as const) {
      expect((await principalOf([name], roles))[1], name.value).to.deep.equal([]);
    }
  });

  it("ignores the subject: only alternative names have roles", async () => {
    expect(
      await principalOf([{ type: "ip", value: "10.0.0.7" }], "DNS:somebody=check email:somebody=check"),
    ).to.deep.equal(["IP Address:10.0.0.7", []]);
  });

  it("gives no role and no name without alternative names", () => {
    const certificates = new CertificateAuthenticator(parseCertificateRoles("DNS:a=check"), { now });
    const { name, roles } = certificates.principalOf({ subject: { CN: "a" } } as PeerCertificate);
    expect([name, [...roles]]).to.deep.equal(["", []]);
  });

  for (const [what, names] of INJECTIONS) {
    it(`gives no role for a name that contains ${what}`, async () => {
      expect((await principalOf(names, "URI:spiffe://x=revoke,prune DNS:a=list"))[1]).to.deep.equal([]);
    });
  }

  it("gives a name with a comma its configured roles", async () => {
    expect(
      await principalOf([{ type: "url", value: "spiffe://corp/a,b" }], "URI:spiffe://corp/a,b=check"),
    ).to.deep.equal(["URI:spiffe://corp/a,b", ["check"]]);
  });

  it("has no caller name if that is longer than the stored limit", async () => {
    expect(await principalOf([{ type: "dns", value: "x".repeat(252) }], "DNS:a=check")).to.deep.equal([
      "",
      [],
    ]);
  });

  it("reads a certificate once for all calls of a connection", async () => {
    const certificates = new CertificateAuthenticator(parseCertificateRoles("DNS:a=check"), { now });
    const certificate = await certificateWith([{ type: "dns", value: "a" }]);
    expect(certificates.principalOf(certificate)).to.equal(certificates.principalOf(certificate));
  });

  it("reads the same from a connection as from a file", async () => {
    const server = await authority.issue([{ type: "dns", value: "localhost" }]);
    const client = await authority.issue([
      { type: "dns", value: 'a", URI:spiffe://x' },
      { type: "url", value: "spiffe://corp/a,b" },
    ]);
    const certificate = await shown(server, client);
    const certificates = new CertificateAuthenticator(
      parseCertificateRoles("URI:spiffe://x=revoke URI:spiffe://corp/a,b=check"),
      { now },
    );
    const { name, roles } = certificates.principalOf(certificate);
    expect([name, [...roles]]).to.deep.equal(["URI:spiffe://corp/a,b", ["check"]]);
  });

  /** The client certificate as the server sees it. */
  async function shown(server: CertificateAndKey, client: CertificateAndKey): Promise<PeerCertificate> {
    const ca = authority.certificate;
    const listener = createServer({ cert: server.certificate, key: server.key, ca, requestCert: true });
    const accepted = new Promise<TLSSocket>((resolve, reject) => {
      listener.once("secureConnection", resolve).once("tlsClientError", reject);
    });
    await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
    const { port } = listener.address() as AddressInfo;
    const socket = connect({
      ...{ host: "127.0.0.1", servername: "localhost", port },
      ...{ ca, cert: client.certificate, key: client.key },
    });
    try {
      return (await accepted).getPeerCertificate();
    } finally {
      socket.destroy();
      listener.close();
    }
  }
});
