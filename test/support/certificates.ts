import "reflect-metadata";
import type { webcrypto } from "node:crypto";
import * as x509 from "@peculiar/x509";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const HOUR_MS = 3_600_000;

/** A certificate and its private key, in PEM. */
export interface CertificateAndKey {
  readonly certificate: string;
  readonly key: string;
}

interface IssueOptions {
  readonly expired?: boolean;
  /** The validity, in milliseconds from now. */
  readonly validMs?: readonly [from: number, to: number];
}

export interface Authority {
  /** Its own certificate, in PEM. */
  readonly certificate: string;
  /** Issues a certificate with these subject alternative names, `{ type: "dns", value: "a.test" }`, valid from an hour ago for half an hour more. */
  issue(names: x509.JsonGeneralNames, options?: IssueOptions): Promise<CertificateAndKey>;
  /** Issues the certificate of an intermediate CA. */
  subordinate(name: string): Promise<Authority>;
  /** Issues a revocation list in PEM, by default valid from now for an hour. */
  revoke(certificates: readonly string[], options?: ListOptions): Promise<string>;
}

interface ListOptions {
  /** thisUpdate and nextUpdate, in milliseconds from now. */
  readonly validMs?: readonly [from: number, to: number];
  /** Further revoked serial numbers. */
  readonly serials?: readonly string[];
  readonly extensions?: x509.Extension[];
}

/** A CA for one test. */
export async function createAuthority(name = "authority"): Promise<Authority> {
  const keys = await generateKeys();
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    keys,
    ...AUTHORITY(),
  });
  return authorityOf(root, keys);
}

const AUTHORITY = () => ({
  signingAlgorithm: ALGORITHM,
  notBefore: new Date(Date.now() - HOUR_MS),
  notAfter: new Date(Date.now() + 24 * HOUR_MS),
  extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
});

function authorityOf(root: x509.X509Certificate, keys: webcrypto.CryptoKeyPair): Authority {
  return {
    certificate: root.toString("pem"),
    async subordinate(name) {
      const own = await generateKeys();
      const certificate = await x509.X509CertificateGenerator.create({
        ...{ subject: `CN=${name}`, issuer: root.subject },
        ...{ publicKey: own.publicKey, signingKey: keys.privateKey },
        ...AUTHORITY(),
      });
      return authorityOf(certificate, own);
    },
    async revoke(certificates, { validMs = [0, HOUR_MS], serials = [], extensions = [] } = {}) {
      const numbers = certificates.map((pem) => new x509.X509Certificate(pem).serialNumber);
      const list = await x509.X509CrlGenerator.create({
        issuer: root.subject,
        thisUpdate: new Date(Date.now() + validMs[0]),
        nextUpdate: new Date(Date.now() + validMs[1]),
        entries: [...numbers, ...serials].map((serialNumber) => ({
          serialNumber,
          revocationDate: new Date(),
        })),
        extensions,
        signingKey: keys.privateKey,
        signingAlgorithm: ALGORITHM,
      });
      // The library would write a PEM label that OpenSSL does not read.
      return x509.PemConverter.encode(list.rawData, "X509 CRL");
    },
    async issue(names, { expired = false, validMs = [-HOUR_MS, (expired ? -1 : 1) * (HOUR_MS / 2)] } = {}) {
      const own = await generateKeys();
      const certificate = await x509.X509CertificateGenerator.create({
        subject: "CN=somebody",
        issuer: root.subject,
        publicKey: own.publicKey,
        signingKey: keys.privateKey,
        signingAlgorithm: ALGORITHM,
        notBefore: new Date(Date.now() + validMs[0]),
        notAfter: new Date(Date.now() + validMs[1]),
        extensions: [new x509.SubjectAlternativeNameExtension(names)],
      });
      const key = await crypto.subtle.exportKey("pkcs8", own.privateKey);
      return { certificate: certificate.toString("pem"), key: x509.PemConverter.encode(key, "PRIVATE KEY") };
    },
  };
}

function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]) as Promise<webcrypto.CryptoKeyPair>;
}
