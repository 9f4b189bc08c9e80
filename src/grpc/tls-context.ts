import { constants, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext, type SecureContextOptions } from "node:tls";
import type { Logger } from "pino";
import { checkTlsFiles, type Validity, validityOfAuthorities, validityOfChain } from "../certificates.ts";
import { ClientTrust } from "../client-trust.ts";
import type { Clock } from "../clock.ts";
import type { TlsFiles } from "../config/security.ts";
import { StartError } from "../errors.ts";
import { READY_MS, TLS_RELOAD_MS } from "../limits.ts";

interface Options {
  readonly files: TlsFiles;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What the service shows. */
interface Identity {
  readonly cert: string;
  readonly key: string;
}

/** Files that are taken over together. */
type Part = "server" | "clients";

interface Changes {
  /** For new connections. */
  apply(context: SecureContextOptions): void;
  /** Certificates of clients that were accepted may not be any more. */
  onTrust(): void;
}

/** The certificates that the service shows and accepts, from files that may change while it runs. */
export class TlsContext {
  readonly #options: Options;
  #identity: Identity;
  /** Undefined where clients are asked for no certificates. */
  #clients: ClientTrust | undefined;
  #clientTexts = "";
  /** Whether the lists of revoked certificates were up to date at the last look. */
  #isListCurrent: boolean;
  readonly #problems = new Map<Part, string>();
  /** By the monotonic clock. */
  #changedAt = Number.NEGATIVE_INFINITY;
  #cancel = () => {};

  /** Throws StartError when the files cannot be used. */
  constructor(options: Options) {
    this.#options = options;
    const { files } = options;
    try {
      this.#identity = readIdentity(files);
      checkTlsFiles(this.#identity);
      const read = readClients(files);
      this.#clients = read && usableClients(read);
      this.#clientTexts = JSON.stringify(read);
      createSecureContext(this.current);
    } catch (error) {
      throw new StartError(`the files of TLS cannot be used: ${textOf(error)}`);
    }
    this.#isListCurrent = this.#areListsCurrent();
  }

  get current(): SecureContextOptions {
    const { cert, key } = this.#identity;
    if (this.#clients === undefined) return { cert, key };
    const { ca, crl } = this.#clients;
    return {
      ...{ cert, key, ca },
      ...(crl === undefined ? {} : { crl: [...crl] }),
      // Who comes back with a ticket is not looked at again: neither when its certificate has expired, nor when a list of revoked ones has.
      secureOptions: constants.SSL_OP_NO_TICKET,
    };
  }

  /** Of the certificate that is shown, with its chain. */
  get validity(): Validity {
    return validityOfChain(this.#identity.cert);
  }

  /** Of the authorities that vouch for clients; undefined where none are asked for. */
  get clientCaValidity(): Validity | undefined {
    return this.#clients && validityOfAuthorities(this.#clients.ca);
  }

  /** Of the lists of revoked certificates; undefined where there are none. */
  get clientListValidity(): Validity | undefined {
    return this.#clients?.listValidity;
  }

  get asksForCertificates(): boolean {
    return this.#clients !== undefined;
  }

  /** Whether a handshake that ends now may have begun with other authorities or lists of revoked certificates. */
  get hasJustChanged(): boolean {
    return this.#options.clock.monotonic() - this.#changedAt <= READY_MS;
  }

  /** Whether files of each kind could not be taken over, so that what they held before is still in use. */
  get rejected(): Readonly<Record<string, boolean>> {
    const rejected = (part: Part) => this.#problems.has(part);
    return { server: rejected("server"), ...(this.#clients && { clients: rejected("clients") }) };
  }

  /** Why a client's certificate that was accepted would not be any more; undefined: it would. `chain` begins with it. */
  whyRefused(chain: readonly Buffer[]): string | undefined {
    return this.#clients?.whyRefused(
      chain.map((der) => new X509Certificate(der)),
      this.#options.clock.now(),
    );
  }

  /**
   * Looks at the files now and then and hands over what has changed. They are read, not watched: a link that is turned to
   * another folder, as Kubernetes does it, is no event of the file.
   */
  watch(changes: Changes): void {
    this.#cancel = this.#options.clock.schedule(TLS_RELOAD_MS, () => {
      this.#reload(changes);
      this.watch(changes);
    });
  }

  stop(): void {
    this.#cancel();
  }

  #reload({ apply, onTrust }: Changes): void {
    const { log } = this.#options;
    const isOtherIdentity = this.#attempt("server", () => this.#takeIdentity());
    const isOtherTrust = this.#attempt("clients", () => this.#takeClients());
    if (isOtherIdentity || isOtherTrust) {
      apply(this.current);
      log.info("took over new TLS certificates: new connections use them");
    }
    const areListsCurrent = this.#areListsCurrent();
    if (isOtherTrust || areListsCurrent !== this.#isListCurrent) onTrust();
    this.#isListCurrent = areListsCurrent;
  }

  /** Whether there was something new and it is in use now. Each part by itself: a certificate that cannot be used keeps no revoked client in. */
  #attempt(part: Part, take: () => boolean): boolean {
    try {
      const isNew = take();
      this.#problems.delete(part);
      return isNew;
    } catch (error) {
      const problem = textOf(error);
      // Half of it may have been replaced so far.
      if (problem !== this.#problems.get(part)) {
        const fields = { files: part, problem };
        this.#options.log.error(fields, "new TLS certificates cannot be used: the old ones stay");
      }
      this.#problems.set(part, problem);
      return false;
    }
  }

  #takeIdentity(): boolean {
    const next = readIdentity(this.#options.files);
    if (next.cert === this.#identity.cert && next.key === this.#identity.key) return false;
    checkTlsFiles(next);
    // A certificate that can be used is not given up for one that cannot. It is looked at again: one that is not valid yet will be.
    const now = this.#options.clock.now();
    const validity = validityOfChain(next.cert);
    if (!isValid(validity, now) && isValid(this.validity, now)) {
      throw new RangeError(
        now > validity.notAfter ? "the new certificate has expired" : "the new certificate is not valid yet",
      );
    }
    this.#identity = next;
    return true;
  }

  #takeClients(): boolean {
    const read = readClients(this.#options.files);
    const texts = JSON.stringify(read);
    if (read === undefined || texts === this.#clientTexts) return false;
    const next = usableClients(read);
    const present = this.#clients;
    if (present !== undefined && next.isOlderThan(present)) {
      throw new RangeError("TLS_CLIENT_CRL_FILE holds a revocation list that is older than the one in use");
    }
    const [now, validity] = [this.#options.clock.now(), next.listValidity];
    if (validity !== undefined && !isValid(validity, now) && this.#areListsCurrent()) {
      throw new RangeError(
        "TLS_CLIENT_CRL_FILE holds a revocation list that has expired, or is not valid yet",
      );
    }
    this.#clients = next;
    this.#clientTexts = texts;
    this.#changedAt = this.#options.clock.monotonic();
    return true;
  }

  #areListsCurrent(): boolean {
    const validity = this.clientListValidity;
    return validity === undefined || isValid(validity, this.#options.clock.now());
  }
}

function isValid({ notBefore, notAfter }: Validity, now: number): boolean {
  return notBefore <= now && now <= notAfter;
}

function readIdentity({ certificate, key }: TlsFiles): Identity {
  return { cert: readFileSync(certificate, "utf8"), key: readFileSync(key, "utf8") };
}

interface ClientTexts {
  readonly ca: string;
  readonly crl: string | undefined;
}

function readClients({ clientCa, clientCrl }: TlsFiles): ClientTexts | undefined {
  if (clientCa === undefined) return undefined;
  const crl = clientCrl === undefined ? undefined : readFileSync(clientCrl, "utf8");
  return { ca: readFileSync(clientCa, "utf8"), crl };
}

/** Throws unless OpenSSL can use it too. */
function usableClients(texts: ClientTexts): ClientTrust {
  const trust = new ClientTrust(texts);
  const { ca, crl } = trust;
  createSecureContext({ ca, ...(crl === undefined ? {} : { crl: [...crl] }) });
  return trust;
}

/** What OpenSSL or the file system says; neither repeats what is in a file. */
function textOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code ?? message;
}
