import type { PeerCertificate } from "node:tls";
import { textProblem } from "../entry.ts";
import { MAX_REVOKED_BY_BYTES } from "../limits.ts";
import { type Principal, ROLES } from "../principal.ts";
import type { CertificateRoles } from "./certificate-roles.ts";

/** Tells who shows a client certificate, which TLS has verified already, by its subject alternative names. */
export class Certificates {
  readonly #roles: CertificateRoles;
  /** A connection has one certificate, and many calls. */
  readonly #known = new WeakMap<PeerCertificate, Principal>();

  constructor(roles: CertificateRoles) {
    this.#roles = roles;
  }

  /** Somebody without any role where none of the names is known. */
  principalOf(certificate: PeerCertificate): Principal {
    let principal = this.#known.get(certificate);
    if (principal === undefined) {
      principal = this.#read(certificate);
      this.#known.set(certificate, principal);
    }
    return principal;
  }

  #read({ subjectaltname }: PeerCertificate): Principal {
    const names = alternativeNames(subjectaltname ?? "");
    const known = names.filter((name) => this.#roles.has(name));
    const allowed = new Set(known.flatMap((name) => this.#roles.get(name) ?? []));
    const [name = ""] = [...known, ...names];
    return {
      name: textProblem(name, MAX_REVOKED_BY_BYTES) === undefined ? name : "",
      roles: new Set(ROLES.filter((role) => allowed.has(role))),
    };
  }
}

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
