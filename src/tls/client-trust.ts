import type { X509Certificate } from "node:crypto";
import type { EpochMs } from "../entry.ts";
import { certificatesOf, type Validity } from "./certificates.ts";
import { type RevocationList, revocationListsOf } from "./revocation-list.ts";

/** Maximum number of issuers between a client's certificate and its root. OpenSSL's default is a hundred. */
const MAX_INTERMEDIATES = 10;

/**
 * The authorities trusted for clients' certificates, and the authorities' revocation lists. OpenSSL applies both to new connections only. This
 * class verifies certificates of open connections when authorities or lists have changed.
 */
export class ClientTrust {
  readonly ca: string;
  /** The PEM of each revocation list, as Node.js requires. Undefined: revocation is not checked. */
  readonly crl: readonly string[] | undefined;
  readonly #authorities: readonly X509Certificate[];
  /** The lists by the fingerprint of the authority that signed them. */
  readonly #lists: ReadonlyMap<string, readonly RevocationList[]> | undefined;

  /** Takes authorities and lists in PEM. Throws a RangeError with the name of the setting whose file is unusable. */
  constructor({ ca, crl }: { ca: string; crl: string | undefined }) {
    this.ca = ca;
    this.#authorities = certificatesOf(ca, "TLS_CLIENT_CA_FILE");
    const lists = crl === undefined ? undefined : revocationListsOf(crl, "TLS_CLIENT_CRL_FILE");
    this.crl = lists?.map(({ pem }) => pem);
    this.#lists = lists && this.#bySigner(lists);
  }

  /**
   * The time in which all lists are valid. Outside it, at least the certificates of one authority are rejected. Undefined if there are no
   * lists.
   */
  get listValidity(): Validity | undefined {
    if (this.#lists === undefined) return undefined;
    const lists = [...this.#lists.values()].map(newestOf);
    return {
      notBefore: Math.max(...lists.map(({ thisUpdate }) => thisUpdate)) as EpochMs,
      notAfter: Math.min(...lists.map(({ nextUpdate }) => nextUpdate)) as EpochMs,
    };
  }

  /** Whether one of the lists was issued before the list of the same authority in `other`. */
  isOlderThan(other: ClientTrust): boolean {
    return [...(this.#lists ?? [])].some(([signer, lists]) => {
      const theirs = other.#lists?.get(signer);
      return theirs !== undefined && newestOf(lists).thisUpdate < newestOf(theirs).thisUpdate;
    });
  }

  /**
   * Why the first certificate of `chain` is not accepted at `now`; undefined if it is accepted. Its own validity period is not checked here.
   * The rest of `chain` may have its issuers.
   */
  whyRejected(chain: readonly X509Certificate[], now: EpochMs): string | undefined {
    const [first] = chain;
    return first === undefined ? "it is unknown" : this.#whyRejected(first, { chain, now, depth: 0 });
  }

  /** Tries every possible issuer. If no issuer leads to a trusted root, returns the last problem found. */
  #whyRejected(
    certificate: X509Certificate,
    { chain, now, depth }: { chain: readonly X509Certificate[]; now: EpochMs; depth: number },
  ): string | undefined {
    let why = "no CA in TLS_CLIENT_CA_FILE is its issuer";
    if (depth > MAX_INTERMEDIATES) return why;
    for (const issuer of [...this.#authorities, ...chain]) {
      if (!hasIssued(issuer, certificate)) continue;
      const revoked = this.#whyRevoked(certificate, issuer, now);
      if (revoked !== undefined) {
        why = revoked;
        continue;
      }
      if (!isCurrent(issuer, now)) continue;
      const isRoot = hasIssued(issuer, issuer);
      if (isRoot && !this.#authorities.some(({ raw }) => raw.equals(issuer.raw))) continue;
      const issuerProblem = isRoot ? undefined : this.#whyRejected(issuer, { chain, now, depth: depth + 1 });
      if (issuerProblem === undefined) return undefined;
      why = issuerProblem;
    }
    return why;
  }

  #whyRevoked(certificate: X509Certificate, issuer: X509Certificate, now: EpochMs): string | undefined {
    if (this.#lists === undefined) return undefined;
    const lists = this.#lists.get(issuer.fingerprint256);
    if (lists === undefined) return "TLS_CLIENT_CRL_FILE has no revocation list of its CA";
    if (lists.some((list) => list.revokes(certificate))) return "it has been revoked";
    const { thisUpdate, nextUpdate } = newestOf(lists);
    return thisUpdate <= now && now <= nextUpdate
      ? undefined
      : "the revocation list of its CA has expired or is not valid yet";
  }

  /** Throws a RangeError unless each authority has signed a list, and each list is signed by an authority. */
  #bySigner(lists: readonly RevocationList[]): ReadonlyMap<string, readonly RevocationList[]> {
    const bySigner = new Map<string, readonly RevocationList[]>();
    for (const [index, { fingerprint256, publicKey }] of this.#authorities.entries()) {
      const signed = lists.filter((list) => list.isSignedBy(publicKey));
      if (signed.length === 0) {
        throw new RangeError(
          `TLS_CLIENT_CRL_FILE has no revocation list signed by certificate number ${index + 1} of TLS_CLIENT_CA_FILE: OpenSSL needs one for each CA`,
        );
      }
      bySigner.set(fingerprint256, signed);
    }
    const stray = lists.findIndex((list) => ![...bySigner.values()].some((signed) => signed.includes(list)));
    if (stray >= 0) {
      throw new RangeError(
        `TLS_CLIENT_CRL_FILE names a file whose revocation list number ${stray + 1} is not signed by a CA in TLS_CLIENT_CA_FILE`,
      );
    }
    return bySigner;
  }
}

function newestOf(lists: readonly RevocationList[]): RevocationList {
  return lists.reduce((newest, list) => (list.thisUpdate > newest.thisUpdate ? list : newest));
}

function hasIssued(issuer: X509Certificate, certificate: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

function isCurrent({ validFrom, validTo }: X509Certificate, now: number): boolean {
  return Date.parse(validFrom) <= now && now <= Date.parse(validTo);
}
