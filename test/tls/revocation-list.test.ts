import "reflect-metadata";
import { X509Certificate } from "node:crypto";
import * as x509 from "@peculiar/x509";
import { expect } from "chai";
import { revocationListsOf } from "../../src/tls/revocation-list.ts";
import { type Authority, createAuthority } from "../support/certificates.ts";
import { thrownBy } from "../support/rejection.ts";

const HOUR_MS = 3_600_000;
const SETTING = "TLS_CLIENT_CRL_FILE";
const NAMES = [{ type: "dns", value: "a.test" }] as const;

describe("revocationListsOf", () => {
  let authority: Authority;

  before(async () => {
    authority = await createAuthority();
  });

  const only = (pem: string) => {
    const [list, ...more] = revocationListsOf(pem, SETTING);
    expect(more).to.deep.equal([]);
    return list as NonNullable<typeof list>;
  };
  const problem = (pem: string) => {
    const error = thrownBy(() => revocationListsOf(pem, SETTING)) as Error;
    expect(error).to.be.instanceOf(RangeError);
    return error.message;
  };

  it("reads the revoked certificates and the validity", async () => {
    const [revoked, other] = [await authority.issue([...NAMES]), await authority.issue([...NAMES])];
    const pem = await authority.revoke([revoked.certificate], { validMs: [-HOUR_MS, 2 * HOUR_MS] });
    const list = only(`comment\n${pem}\n`);
    expect([
      list.revokes(new X509Certificate(revoked.certificate)),
      list.revokes(new X509Certificate(other.certificate)),
      Math.round((list.nextUpdate - list.thisUpdate) / HOUR_MS),
      Math.abs(list.thisUpdate + HOUR_MS - Date.now()) < 60_000,
    ]).to.deep.equal([true, false, 3, true]);
  });

  it("compares serial numbers in any notation", async () => {
    const list = only(await authority.revoke([], { serials: ["00ff01", "7f", "0a0b"] }));
    const revokes = (serialNumber: string) => list.revokes({ serialNumber } as X509Certificate);
    expect(["FF01", "7F", "A0B", "0A0B", "FF", "01", "ff0100"].map(revokes)).to.deep.equal([
      ...[true, true, true, true],
      ...[false, false, false],
    ]);
  });

  it("accepts long and empty lists, and times after 2050", async () => {
    const serials = Array.from({ length: 2000 }, (_, index) => (0x10_0000 + index).toString(16));
    const far = 40 * 365 * 24 * HOUR_MS;
    const list = only(await authority.revoke([], { serials, validMs: [0, far] }));
    const revokes = (serialNumber: string) => list.revokes({ serialNumber } as X509Certificate);
    expect([revokes("100000"), revokes("1007CF"), revokes("1007D0")]).to.deep.equal([true, true, false]);
    expect(new Date(list.nextUpdate).getUTCFullYear()).to.be.greaterThan(2055);
    expect(only(await authority.revoke([])).revokes({ serialNumber: "01" } as X509Certificate)).to.equal(
      false,
    );
  });

  it("reads several lists from one file", async () => {
    const between = await authority.subordinate("between");
    const pem = `${await authority.revoke([])}\n${await between.revoke([])}`;
    const key = new X509Certificate(between.certificate).publicKey;
    expect(revocationListsOf(pem, SETTING).map((list) => list.isSignedBy(key))).to.deep.equal([false, true]);
  });

  const SIGNATURES: Record<string, [keys: object, signing: object]> = {
    "RSA with SHA-256": [rsa("RSASSA-PKCS1-v1_5"), { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" }],
    "RSA with SHA-384": [rsa("RSASSA-PKCS1-v1_5", "SHA-384"), { name: "RSASSA-PKCS1-v1_5", hash: "SHA-384" }],
    "RSA with SHA-512": [rsa("RSASSA-PKCS1-v1_5", "SHA-512"), { name: "RSASSA-PKCS1-v1_5", hash: "SHA-512" }],
    "RSASSA-PSS": [rsa("RSA-PSS"), { name: "RSA-PSS", hash: "SHA-256", saltLength: 32 }],
    "ECDSA with SHA-384": [
      { name: "ECDSA", namedCurve: "P-384" },
      { name: "ECDSA", hash: "SHA-384" },
    ],
    "ECDSA with SHA-512": [
      { name: "ECDSA", namedCurve: "P-521" },
      { name: "ECDSA", hash: "SHA-512" },
    ],
    Ed25519: [{ name: "Ed25519" }, { name: "Ed25519" }],
  };
  for (const [name, [algorithm, signing]] of Object.entries(SIGNATURES)) {
    it(`verifies the signature: ${name}`, async () => {
      const usages = ["sign", "verify"] as const;
      const keys = (await crypto.subtle.generateKey(algorithm as never, true, [...usages])) as never;
      const common = { keys, signingAlgorithm: signing as never };
      const own = await x509.X509CertificateGenerator.createSelfSigned({ name: "CN=a", ...common });
      const crl = await x509.X509CrlGenerator.create({
        ...{ issuer: "CN=a", nextUpdate: new Date(Date.now() + HOUR_MS) },
        ...{ signingKey: (keys as { privateKey: never }).privateKey, signingAlgorithm: signing as never },
      });
      const list = only(x509.PemConverter.encode(crl.rawData, "X509 CRL"));
      const signer = new X509Certificate(own.toString("pem"));
      const stranger = new X509Certificate(authority.certificate);
      expect([list.isSignedBy(signer.publicKey), list.isSignedBy(stranger.publicKey)]).to.deep.equal([
        true,
        false,
      ]);
    });
  }

  it("refuses other content, alone or beside a list", async () => {
    const pem = await authority.revoke([]);
    for (const text of ["", "nothing", authority.certificate, `${pem}\n${authority.certificate}`]) {
      expect(problem(text)).to.match(
        /^TLS_CLIENT_CRL_FILE must name a file that contains only revocation lists/,
      );
    }
  });

  it("refuses delta and indirect lists, and lists without a next update", async () => {
    const extension = (oid: string, hex: string) => new x509.Extension(oid, true, Buffer.from(hex, "hex"));
    const withOne = (oid: string, hex: string) => authority.revoke([], { extensions: [extension(oid, hex)] });
    expect(problem(await withOne("2.5.29.27", "020101"))).to.match(/critical extension .* delta lists/);
    expect(problem(await withOne("2.5.29.28", "30038401ff"))).to.match(/indirect list/);
    expect(problem(await withOne("1.2.3.4", "0500"))).to.match(/critical extension/);
    // A list for user certificates only, such as a client's.
    only(await withOne("2.5.29.28", "30038101ff"));
  });

  it("refuses damaged and truncated lists and invalid signatures, and never reads them as another list", async () => {
    const { certificate } = await authority.issue([...NAMES]);
    const pem = await authority.revoke([certificate]);
    const der = Buffer.from(pem.replace(/-----[^-]+-----/g, ""), "base64");
    const { publicKey } = new X509Certificate(authority.certificate);
    const passes = (bytes: Buffer) => {
      try {
        return only(x509.PemConverter.encode(bytes, "X509 CRL")).isSignedBy(publicKey);
      } catch (error) {
        expect(error).to.be.instanceOf(RangeError);
        return false;
      }
    };
    expect(passes(der)).to.equal(true);
    for (let at = 0; at < der.length; at++) {
      expect(passes(der.subarray(0, at)), `cut off at ${at}`).to.equal(false);
      const damaged = Buffer.from(der);
      damaged.writeUInt8(damaged.readUInt8(at) ^ 0x10, at);
      expect(passes(damaged), `damaged at ${at}`).to.equal(false);
    }
  });
});

function rsa(name: string, hash = "SHA-256"): object {
  return { name, hash, modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]) };
}
