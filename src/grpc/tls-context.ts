import { readFileSync } from "node:fs";
import { createSecureContext, type SecureContextOptions } from "node:tls";
import type { Logger } from "pino";
import type { Clock } from "../clock.ts";
import type { TlsFiles } from "../config/security.ts";
import { StartError } from "../errors.ts";
import { TLS_RELOAD_MS } from "../limits.ts";

interface Options {
  readonly files: TlsFiles;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The certificates that the service shows and accepts, from files that may change while it runs. */
export class TlsContext {
  readonly #options: Options;
  #current: SecureContextOptions;
  #problem: string | undefined;
  #cancel = () => {};

  /** Throws StartError when the files cannot be used. */
  constructor(options: Options) {
    this.#options = options;
    try {
      this.#current = usable(read(options.files));
    } catch (error) {
      throw new StartError(
        `TLS_CERT_FILE, TLS_KEY_FILE or TLS_CLIENT_CA_FILE cannot be used: ${textOf(error)}`,
      );
    }
  }

  get current(): SecureContextOptions {
    return this.#current;
  }

  get asksForCertificates(): boolean {
    return this.#options.files.clientCa !== undefined;
  }

  /**
   * Looks at the files now and then and hands over what has changed. They are read, not watched: a link that is turned to
   * another folder, as Kubernetes does it, is no event of the file.
   */
  watch(apply: (context: SecureContextOptions) => void): void {
    this.#cancel = this.#options.clock.schedule(TLS_RELOAD_MS, () => {
      this.#reload(apply);
      this.watch(apply);
    });
  }

  stop(): void {
    this.#cancel();
  }

  #reload(apply: (context: SecureContextOptions) => void): void {
    const { files, log } = this.#options;
    try {
      const next = read(files);
      const changed = (["cert", "key", "ca"] as const).some((part) => next[part] !== this.#current[part]);
      if (changed) {
        apply(usable(next));
        this.#current = next;
        log.info("took over new TLS certificates: new connections use them");
      }
      this.#problem = undefined;
    } catch (error) {
      const problem = textOf(error);
      // Half of it may have been replaced so far.
      if (problem !== this.#problem)
        log.error({ problem }, "new TLS certificates cannot be used: the old ones stay");
      this.#problem = problem;
    }
  }
}

function read({ certificate, key, clientCa }: TlsFiles): SecureContextOptions {
  return {
    cert: readFileSync(certificate, "utf8"),
    key: readFileSync(key, "utf8"),
    ...(clientCa === undefined ? {} : { ca: readFileSync(clientCa, "utf8") }),
  };
}

/** Throws unless key and certificate belong together. */
function usable(context: SecureContextOptions): SecureContextOptions {
  createSecureContext(context);
  return context;
}

/** What OpenSSL or the file system says; neither repeats what is in a file. */
function textOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code ?? message;
}
