import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { createSecureContext } from "node:tls";
import type { EpochMs } from "../entry.ts";
import { codeOrMessage } from "../errors.ts";

/** The period in which a certificate, or a set of certificates, is valid. */
export interface Validity {
  readonly notBefore: EpochMs;
  readonly notAfter: EpochMs;
}

/** The content of TLS_CERT_FILE, TLS_KEY_FILE and TLS_CLIENT_CA_FILE, in PEM. */
interface TlsFileContents {
  readonly cert: string;
  readonly key: string;
  readonly ca?: string | undefined;
}

const CERTIFICATE =
  /^-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----[ \t\r]*$[\s\S]*?^-----END (?:TRUSTED |X509 )?CERTIFICATE-----[ \t\r]*$/gm;
const CERTIFICATE_BEGINNING = /-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----/g;
const PRIVATE_KEY = /^-----BEGIN [A-Z ]*PRIVATE KEY-----[ \t\r]*$/m;

/** Throws a RangeError if the files are unusable. The message has the names of the settings, and nothing of the files' content. */
export function checkTlsFiles({ cert, key, ca }: TlsFileContents): void {
  const chain = certificatesOf(cert, "TLS_CERT_FILE");
  const privateKey = keyOf(key);
  const [first] = chain;
  if (first === undefined || !first.checkPrivateKey(privateKey)) {
    const isInChain = chain.some((certificate) => certificate.checkPrivateKey(privateKey));
    const isAuthority = chain.length === 1 && first?.ca === true;
    throw new RangeError(
      isInChain
        ? "TLS_CERT_FILE does not begin with the certificate of TLS_KEY_FILE: put the service's own certificate first, then those of its CAs"
        : `TLS_KEY_FILE is not the key of the certificate in TLS_CERT_FILE${isAuthority ? ", which is a CA certificate" : ""}: use a certificate and the key it was issued for`,
    );
  }
  if (ca !== undefined) certificatesOf(ca, "TLS_CLIENT_CA_FILE");
  try {
    createSecureContext({ cert, key, ...(ca === undefined ? {} : { ca }) });
  } catch (error) {
    const why = codeOrMessage(error);
    throw new RangeError(`TLS_CERT_FILE, TLS_KEY_FILE or TLS_CLIENT_CA_FILE cannot be used (${why})`);
  }
}

/**
 * The certificates in `pem`, at least one, since Node.js takes an empty text to mean "trust the public authorities". Throws a RangeError
 * that begins with `setting`.
 */
export function certificatesOf(pem: string, setting: string): X509Certificate[] {
  if (pem.trim() === "") throw new RangeError(`${setting} names a file that is empty`);
  const found = pem.match(CERTIFICATE) ?? [];
  if (found.length === 0) {
    throw new RangeError(
      PRIVATE_KEY.test(pem)
        ? `${setting} names a file with a private key and no certificate: use the file of the certificate`
        : `${setting} names a file without a certificate in PEM ("-----BEGIN CERTIFICATE-----")`,
    );
  }
  const read = found.map((text, index) => {
    try {
      return new X509Certificate(text);
    } catch {
      throw new RangeError(`${setting} names a file whose certificate number ${index + 1} cannot be read`);
    }
  });
  // OpenSSL would silently skip a malformed certificate, and reject the peers that depend on it.
  if (pem.match(CERTIFICATE_BEGINNING)?.length !== found.length) {
    throw new RangeError(
      `${setting} names a file with a certificate that is truncated, or does not begin at the beginning of a line (is there a byte order mark?)`,
    );
  }
  return read;
}

function keyOf(pem: string): KeyObject {
  if (pem.trim() === "") throw new RangeError("TLS_KEY_FILE names a file that is empty");
  if (!PRIVATE_KEY.test(pem)) {
    throw new RangeError(
      pem.match(CERTIFICATE) === null
        ? 'TLS_KEY_FILE names a file without a private key in PEM ("-----BEGIN PRIVATE KEY-----")'
        : "TLS_KEY_FILE names a file with a certificate and no private key: use the file of the key",
    );
  }
  try {
    return createPrivateKey(pem);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const isEncrypted = /ENCRYPTED/.test(pem) || code === "ERR_MISSING_PASSPHRASE";
    throw new RangeError(
      isEncrypted
        ? "TLS_KEY_FILE names a key that is encrypted: store it without a passphrase (openssl pkey), readable only by the service"
        : "TLS_KEY_FILE names a private key that cannot be read",
    );
  }
}

/** The period in which all certificates of a chain are valid. `pem` must have been checked. */
export function validityOfChain(pem: string): Validity {
  const { starts, ends } = periodsOf(pem);
  return { notBefore: Math.max(...starts) as EpochMs, notAfter: Math.min(...ends) as EpochMs };
}

/**
 * From the first time at which one of a set of authorities is valid to the last, since an expired authority may stay in the file beside its
 * successor. `pem` must have been checked.
 */
export function validityOfAuthorities(pem: string): Validity {
  const { starts, ends } = periodsOf(pem);
  return { notBefore: Math.min(...starts) as EpochMs, notAfter: Math.max(...ends) as EpochMs };
}

function periodsOf(pem: string): { readonly starts: number[]; readonly ends: number[] } {
  const certificates = certificatesOf(pem, "");
  return {
    starts: certificates.map(({ validFrom }) => Date.parse(validFrom)),
    ends: certificates.map(({ validTo }) => Date.parse(validTo)),
  };
}
