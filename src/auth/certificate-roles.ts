import { readFileSync } from "node:fs";
import type { Logger } from "pino";
import { ROLES, type Role } from "../caller.ts";
import { textProblem } from "../entry.ts";
import { codeOrMessage, StartError } from "../errors.ts";
import { MAX_REVOKED_BY_BYTES, TLS_RELOAD_MS } from "../limits.ts";
import { settingProblem } from "../text/setting-text.ts";
import type { Clock } from "../time/clock.ts";

/**
 * Roles by the subject alternative name of a client's certificate, such as `DNS:gateway.internal`. A name without roles marks a carrier: each
 * call over its connection is authenticated by the call's token.
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

interface Options {
  readonly path: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The roles of certificates from a file, reloaded while the service runs. A file that becomes unusable changes nothing. */
export class CertificateRolesFile {
  readonly #options: Options;
  #text: string;
  #roles: CertificateRoles;
  #problem: string | undefined;
  #cancel = () => {};

  /** Throws StartError if the file is unusable. */
  constructor(options: Options) {
    this.#options = options;
    try {
      this.#text = readFileSync(options.path, "utf8");
      this.#roles = parseFile(this.#text);
    } catch (error) {
      throw new StartError(`TLS_CLIENT_ROLES_FILE cannot be used: ${codeOrMessage(error)}`);
    }
  }

  /** The roles from the last usable version of the file. */
  get roles(): CertificateRoles {
    return this.#roles;
  }

  /** Whether the last version of the file was unusable or unreadable. */
  get isRejected(): boolean {
    return this.#problem !== undefined;
  }

  /** Reads the file periodically, and passes on changed roles. */
  watch(apply: (roles: CertificateRoles) => void): void {
    this.#cancel = this.#options.clock.schedule(TLS_RELOAD_MS, () => {
      this.#reload(apply);
      this.watch(apply);
    });
  }

  stop(): void {
    this.#cancel();
  }

  #reload(apply: (roles: CertificateRoles) => void): void {
    const { log, path } = this.#options;
    try {
      const text = readFileSync(path, "utf8");
      if (text !== this.#text) {
        this.#roles = parseFile(text);
        this.#text = text;
        apply(this.#roles);
        log.info("loaded new roles of client certificates");
      }
      this.#problem = undefined;
    } catch (error) {
      const problem = codeOrMessage(error);
      if (problem !== this.#problem)
        log.error(
          { problem },
          "new roles of client certificates cannot be used: the old roles stay in effect",
        );
      this.#problem = problem;
    }
  }
}

/** Parses the text of the file, by the same rules as the setting TLS_CLIENT_ROLES. */
function parseFile(text: string): CertificateRoles {
  for (const item of text.split(/[ \t\r\n]+/)) {
    const problem = settingProblem(item);
    if (problem !== undefined) throw new RangeError(problem);
  }
  const roles = parseCertificateRoles(text);
  if (roles.size === 0) throw new RangeError("is empty");
  return roles;
}
