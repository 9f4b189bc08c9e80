import { readFileSync } from "node:fs";
import type { SecureContextOptions } from "node:tls";
import type { Logger } from "pino";
import {
  checkTlsFiles,
  type TlsFileContents,
  type Validity,
  validityOfAuthorities,
  validityOfChain,
} from "../certificates.ts";
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
  #current: TlsFileContents;
  #problem: string | undefined;
  #cancel = () => {};

  /** Throws StartError when the files cannot be used. */
  constructor(options: Options) {
    this.#options = options;
    try {
      this.#current = usable(read(options.files));
    } catch (error) {
      throw new StartError(`the files of TLS cannot be used: ${textOf(error)}`);
    }
  }

  get current(): SecureContextOptions {
    return this.#current;
  }

  /** Of the certificate that is shown, with its chain. */
  get validity(): Validity {
    return validityOfChain(this.#current.cert);
  }

  /** Of the authorities that vouch for clients; undefined where none are asked for. */
  get clientCaValidity(): Validity | undefined {
    return this.#current.ca === undefined ? undefined : validityOfAuthorities(this.#current.ca);
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

  /** Why a certificate that can be used is not given up for `next`. It is looked at again: one that is not valid yet will be. */
  #whyWorse(next: TlsFileContents): string | undefined {
    const now = this.#options.clock.now();
    const validity = usable(next) && validityOfChain(next.cert);
    if (isValid(validity, now) || !isValid(this.validity, now)) return undefined;
    return now > validity.notAfter
      ? "the new certificate has expired"
      : "the new certificate is not valid yet";
  }

  #reload(apply: (context: SecureContextOptions) => void): void {
    const { files, log } = this.#options;
    try {
      const next = read(files);
      const changed = (["cert", "key", "ca"] as const).some((part) => next[part] !== this.#current[part]);
      if (changed) {
        const problem = this.#whyWorse(next);
        if (problem !== undefined) throw new RangeError(problem);
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

function isValid({ notBefore, notAfter }: Validity, now: number): boolean {
  return notBefore <= now && now <= notAfter;
}

function read({ certificate, key, clientCa }: TlsFiles): TlsFileContents {
  return {
    cert: readFileSync(certificate, "utf8"),
    key: readFileSync(key, "utf8"),
    ...(clientCa === undefined ? {} : { ca: readFileSync(clientCa, "utf8") }),
  };
}

/** Throws unless key and certificate belong together, and what else is trusted is there. */
function usable(context: TlsFileContents): TlsFileContents {
  checkTlsFiles(context);
  return context;
}

/** What OpenSSL or the file system says; neither repeats what is in a file. */
function textOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code ?? message;
}
