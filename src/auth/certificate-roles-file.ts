import { readFileSync } from "node:fs";
import type { Logger } from "pino";
import type { Clock } from "../clock.ts";
import { StartError } from "../errors.ts";
import { TLS_RELOAD_MS } from "../limits.ts";
import { settingProblem } from "../setting-text.ts";
import { type CertificateRoles, parseCertificateRoles } from "./certificate-roles.ts";

interface Options {
  readonly path: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The roles of certificates, from a file that may change while the service runs. What cannot be used changes nothing. */
export class CertificateRolesFile {
  readonly #options: Options;
  #text: string;
  #roles: CertificateRoles;
  #problem: string | undefined;
  #cancel = () => {};

  /** Throws StartError when the file cannot be used. */
  constructor(options: Options) {
    this.#options = options;
    try {
      this.#text = readFileSync(options.path, "utf8");
      this.#roles = parse(this.#text);
    } catch (error) {
      throw new StartError(`TLS_CLIENT_ROLES_FILE cannot be used: ${textOf(error)}`);
    }
  }

  /** What was last read and could be used. */
  get roles(): CertificateRoles {
    return this.#roles;
  }

  /** Whether the file holds something that cannot be used, or cannot be read. */
  get isRejected(): boolean {
    return this.#problem !== undefined;
  }

  /** Looks at the file now and then, and hands over roles that have changed. */
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
        log.info("took over new roles of client certificates");
      }
      this.#problem = undefined;
    } catch (error) {
      const problem = textOf(error);
      if (problem !== this.#problem)
        log.error({ problem }, "new roles of client certificates cannot be used: the old ones stay");
      this.#problem = problem;
    }
  }
}

/** As the setting is read at start. */
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
