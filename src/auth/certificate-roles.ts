import { textProblem } from "../entry.ts";
import { MAX_REVOKED_BY_BYTES } from "../limits.ts";
import { ROLES, type Role } from "../principal.ts";

/**
 * Roles by the subject alternative name of a client's certificate, such as `DNS:gateway.internal`. A name without roles marks a carrier,
 * whose calls are authenticated by their own tokens.
 */
export type CertificateRoles = ReadonlyMap<string, readonly Role[]>;

/** Written in place of roles for a carrier. */
const NO_ROLES = "none";

/**
 * Parses `DNS:gateway.internal=check URI:spiffe://corp/auth=check,revoke DNS:proxy.internal=none`: pairs separated by white space. Throws a
 * RangeError that states the expected form.
 */
export function parseCertificateRoles(text: string): CertificateRoles {
  const roles = new Map<string, readonly Role[]>();
  for (const pair of text.split(/\s+/)) {
    if (pair === "") continue;
    const [, name, list] = /^((?:DNS|URI|email):.+)=([a-z,]+)$/.exec(pair) ?? [];
    const given = list === NO_ROLES ? [] : list?.split(",");
    if (name === undefined || given === undefined || !given.every(isRole)) {
      throw new RangeError(
        `must be pairs such as DNS:gateway.internal=check,revoke; the names are of kind DNS, URI or email, the roles ${ROLES.join(", ")}, or ${NO_ROLES} alone for a certificate whose callers authenticate by token`,
      );
    }
    // The name is stored with each change that the caller makes, so a name that cannot be stored is rejected.
    const problem = textProblem(name, MAX_REVOKED_BY_BYTES);
    if (problem !== undefined) throw new RangeError(`has an invalid certificate name: it ${problem}`);
    if (roles.has(name)) throw new RangeError("names one certificate twice");
    roles.set(name, given);
  }
  return roles;
}

function isRole(text: string): text is Role {
  return (ROLES as readonly string[]).includes(text);
}
