import type { PeerCertificate } from "node:tls";
import { type Principal, ROLES } from "../caller.ts";
import { type EpochMs, textProblem } from "../entry.ts";
import { unauthenticated } from "../errors.ts";
import { MAX_REVOKED_BY_BYTES } from "../limits.ts";
import type { CertificateRoles } from "./certificate-roles.ts";

/** The caller that a certificate identifies; "carrier" if the certificate only carries the tokens of other callers. */
type Identity = Principal | "carrier";

interface Options {
  /** Whether the service also accepts bearer tokens. Default: false. */
  readonly acceptsTokens?: boolean;
  /** Called when the set of admitted callers may have changed. */
  readonly onChange?: () => void;
  /** The current time, with which the expiry of certificates is compared. */
  readonly now: () => EpochMs;
}

/** Authenticates callers by the subject alternative names of their client certificates, which TLS has already verified. */
export class CertificateAuthenticator {
  #roles: CertificateRoles;
  readonly #options: Options;
  /** Cached, since a connection has one certificate and many calls. */
  #identities = new WeakMap<PeerCertificate, Identity>();
  /**
   * Certificates that were carriers when their connections opened. They stay carriers on these connections, even if they are given roles
   * later: header fields are not counted there, so a call whose token Node.js has dropped would be attributed to the certificate.
   */
  readonly #carriers = new WeakSet<PeerCertificate>();
  /** Certificates that TLS would no longer accept. */
  readonly #distrusted = new WeakSet<PeerCertificate>();
  #isAnyDistrusted = false;

  constructor(roles: CertificateRoles, options: Options) {
    this.#roles = roles;
    this.#options = options;
  }

  /**
   * Whether a call that lost its token on the way would be authenticated by this certificate instead. Call it when the connection opens: a
   * carrier then stays a carrier for the whole connection.
   */
  replacesLostToken(certificate: PeerCertificate): boolean {
    if (this.#identityOf(certificate) !== "carrier") return this.#options.acceptsTokens ?? false;
    this.#carriers.add(certificate);
    return false;
  }

  replaceRoles(roles: CertificateRoles): void {
    this.#roles = roles;
    this.#identities = new WeakMap();
    this.#options.onChange?.();
  }

  /**
   * Makes {@link refuseDistrusted} reject all further calls on the connections of these certificates, regardless of the calls' tokens. Call it
   * when TLS would no longer accept the certificates.
   */
  distrust(certificates: readonly PeerCertificate[]): void {
    if (certificates.length === 0) return;
    for (const certificate of certificates) this.#distrusted.add(certificate);
    this.#isAnyDistrusted = true;
    this.#options.onChange?.();
  }

  /** Throws UNAUTHENTICATED if the certificate of the connection is no longer trusted. */
  refuseDistrusted(connection: { certificate(): PeerCertificate | undefined }): void {
    if (!this.#isAnyDistrusted) return;
    const certificate = connection.certificate();
    if (certificate !== undefined && this.#distrusted.has(certificate)) throw DISTRUSTED;
  }

  /**
   * The caller that the certificate identifies; without any role if none of its names is configured. Throws UNAUTHENTICATED for a carrier
   * and, unless `allowExpired`, if the certificate has expired since its connection was opened.
   */
  principalOf(
    certificate: PeerCertificate,
    { allowExpired = false }: { allowExpired?: boolean } = {},
  ): Principal {
    const identity = this.#identityOf(certificate);
    if (identity === "carrier") throw CARRIER;
    const { expiresAt } = identity;
    // An expiry that could not be parsed is NaN, and counts as passed.
    if (!allowExpired && expiresAt !== undefined && !(this.#options.now() < expiresAt)) throw EXPIRED;
    return identity;
  }

  #identityOf(certificate: PeerCertificate): Identity {
    let identity = this.#identities.get(certificate);
    if (identity === undefined) {
      identity = this.#carriers.has(certificate) ? "carrier" : this.#identify(certificate);
      this.#identities.set(certificate, identity);
    }
    return identity;
  }

  #identify({ subjectaltname, valid_to: validTo }: PeerCertificate): Identity {
    const names = alternativeNames(subjectaltname ?? "");
    const known = names.filter((name) => this.#roles.has(name));
    const allowed = new Set(known.flatMap((name) => this.#roles.get(name) ?? []));
    if (known.length > 0 && allowed.size === 0) return "carrier";
    const [name = ""] = [...known, ...names];
    return {
      name: textProblem(name, MAX_REVOKED_BY_BYTES) === undefined ? name : "",
      roles: new Set(ROLES.filter((role) => allowed.has(role))),
      // A certificate is valid to the end of the second that it states.
      ...(validTo === undefined ? {} : { expiresAt: (Date.parse(validTo) + 1000) as EpochMs }),
    };
  }
}

const DISTRUSTED = unauthenticated(
  "the client certificate of the connection is no longer accepted: it has been revoked, or its CA is no longer trusted",
);
const EXPIRED = unauthenticated("the client certificate of the connection has expired");
const CARRIER = unauthenticated(
  "the call needs a bearer token in the authorization metadata: the client certificate of its connection has no roles",
);

/**
 * Parses a certificate's `subjectaltname`, such as `DNS:a, URI:b`. Node.js writes a value with a comma, a quote or a control character as a
 * JSON string. A parser that split such a string at its commas would read one crafted name as several names.
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
