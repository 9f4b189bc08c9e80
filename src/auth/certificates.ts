import type { PeerCertificate } from "node:tls";
import { type EpochMs, textProblem } from "../entry.ts";
import { unauthenticated } from "../errors.ts";
import { MAX_REVOKED_BY_BYTES } from "../limits.ts";
import { type Principal, ROLES } from "../principal.ts";
import type { CertificateRoles } from "./certificate-roles.ts";

/** Whom a certificate makes known, or that it only carries its callers' tokens. */
type Known = Principal | "carrier";

interface Options {
  /** Whether callers may also be known by a token. */
  readonly besideTokens?: boolean;
  /** Runs when others may be let in than before. */
  readonly onChange?: () => void;
  readonly now: () => EpochMs;
}

/** Tells who shows a client certificate, which TLS has verified already, by its subject alternative names. */
export class Certificates {
  #roles: CertificateRoles;
  readonly #besideTokens: boolean;
  /** A connection has one certificate, and many calls. */
  #known = new WeakMap<PeerCertificate, Known>();
  /** Those on whose connections nobody would notice that a token got lost: whatever roles they are given, these connections bring them none. */
  readonly #carriers = new WeakSet<PeerCertificate>();
  /** Those that TLS would not accept any more. */
  readonly #distrusted = new WeakSet<PeerCertificate>();
  #isAnyDistrusted = false;
  readonly #onChange: () => void;
  readonly #now: () => EpochMs;

  constructor(roles: CertificateRoles, { besideTokens = false, onChange = () => {}, now }: Options) {
    this.#roles = roles;
    this.#besideTokens = besideTokens;
    this.#onChange = onChange;
    this.#now = now;
  }

  /**
   * Whether a call over this certificate's connection would be taken for the certificate's if its token got lost on the way. To be asked when the
   * connection is opened.
   */
  standsIn(certificate: PeerCertificate): boolean {
    if (this.#knownOf(certificate) !== "carrier") return this.#besideTokens;
    this.#carriers.add(certificate);
    return false;
  }

  /** From now on certificates have these roles. */
  replaceRoles(roles: CertificateRoles): void {
    this.#roles = roles;
    this.#known = new WeakMap();
    this.#onChange();
  }

  /** TLS would not accept these any more: nobody is known on their connections, by whatever credential. */
  distrust(certificates: readonly PeerCertificate[]): void {
    if (certificates.length === 0) return;
    for (const certificate of certificates) this.#distrusted.add(certificate);
    this.#isAnyDistrusted = true;
    this.#onChange();
  }

  /** Throws UNAUTHENTICATED where the certificate of the connection is not trusted any more. */
  refuseDistrusted(credentials: { certificate(): PeerCertificate | undefined }): void {
    if (!this.#isAnyDistrusted) return;
    const certificate = credentials.certificate();
    if (certificate !== undefined && this.#distrusted.has(certificate)) throw DISTRUSTED;
  }

  /**
   * Somebody without any role where none of the names is known. Throws UNAUTHENTICATED where the names that are known have none: then the certificate
   * only carries its callers' tokens, and, unless `evenExpired`, where it has expired since its connection was opened.
   */
  principalOf(
    certificate: PeerCertificate,
    { evenExpired = false }: { evenExpired?: boolean } = {},
  ): Principal {
    const known = this.#knownOf(certificate);
    if (known === "carrier") throw CARRIER;
    const { expiresAt } = known;
    if (!evenExpired && expiresAt !== undefined && this.#now() >= expiresAt) throw EXPIRED;
    return known;
  }

  #knownOf(certificate: PeerCertificate): Known {
    let known = this.#known.get(certificate);
    if (known === undefined) {
      known = this.#carriers.has(certificate) ? "carrier" : this.#read(certificate);
      this.#known.set(certificate, known);
    }
    return known;
  }

  #read({ subjectaltname, valid_to: validTo }: PeerCertificate): Known {
    const names = alternativeNames(subjectaltname ?? "");
    const known = names.filter((name) => this.#roles.has(name));
    const allowed = new Set(known.flatMap((name) => this.#roles.get(name) ?? []));
    if (known.length > 0 && allowed.size === 0) return "carrier";
    const [name = ""] = [...known, ...names];
    return {
      name: textProblem(name, MAX_REVOKED_BY_BYTES) === undefined ? name : "",
      roles: new Set(ROLES.filter((role) => allowed.has(role))),
      // To the second, which is its last.
      ...(validTo === undefined ? {} : { expiresAt: (Date.parse(validTo) + 1000) as EpochMs }),
    };
  }
}

const DISTRUSTED = unauthenticated(
  "the client certificate of the connection is not accepted any more: it has been revoked, or nobody vouches for it now",
);
const EXPIRED = unauthenticated("the client certificate of the connection has expired");
const CARRIER = unauthenticated(
  "the call needs a bearer token in the authorization metadata: the certificate of its connection has no rights of its own",
);

/**
 * `DNS:a, URI:b` as Node writes it. A value that holds a comma, a quote or a control character stands there as a JSON string: taken
 * apart without heed, a certificate for one odd name would pass for one with several.
 */
export function alternativeNames(text: string): readonly string[] {
  const names: string[] = [];
  for (const [, kind, quoted, plain] of text.matchAll(
    /([A-Za-z ]+):(?:("(?:[^"\\]|\\.)*")|([^,"]*))(?:, |$)/gy,
  )) {
    const value = quoted === undefined ? plain : (JSON.parse(quoted) as string);
    names.push(`${kind}:${value}`);
  }
  return names;
}
