import { readFileSync } from "node:fs";
import type { Logger } from "pino";
import { StartError } from "../errors.ts";
import { TLS_RELOAD_MS } from "../limits.ts";
import { settingProblem } from "../text/setting-text.ts";
import type { Clock } from "../time/clock.ts";
import { type CertificateRoles, parseCertificateRoles } from "./certificate-roles.ts";

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
      this.#roles = parse(this.#text);
    } catch (error) {
      throw new StartError(`TLS_CLIENT_ROLES_FILE cannot be used: ${textOf(error)}`);
    }
  }

  /** The roles from the last usable version of the file. */
  get roles(): CertificateRoles {
    return this.#roles;
  }

  /** Whether the file is currently unusable or unreadable. */
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
        this.#roles = parse(text);
        this.#text = text;
        apply(this.#roles);
        log.info("loaded new roles of client certificates");
      }
      this.#problem = undefined;
    } catch (error) {
      const problem = textOf(error);
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
function parse(text: string): CertificateRoles {
  for (const item of text.split(/[ \t\r\n]+/)) {
    const problem = settingProblem(item);
    if (problem !== undefined) throw new RangeError(problem);
  }
  const roles = parseCertificateRoles(text);
  if (roles.size === 0) throw new RangeError("is empty");
  return roles;
}

function textOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code ?? message;
}
