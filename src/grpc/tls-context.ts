import { constants, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext, type SecureContextOptions } from "node:tls";
import type { Logger } from "pino";
import type { TlsFiles } from "../config/security.ts";
import { codeOrMessage, StartError } from "../errors.ts";
import { READY_MS, TLS_RELOAD_MS } from "../limits.ts";
import type { Clock } from "../time/clock.ts";
import { checkTlsFiles, type Validity, validityOfAuthorities, validityOfChain } from "../tls/certificates.ts";
import { ClientTrust } from "../tls/client-trust.ts";

interface Options {
  readonly files: TlsFiles;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The service's own certificate chain and key, in PEM. */
interface Identity {
  readonly cert: string;
  readonly key: string;
}

/** A group of files that are replaced together: the service's own, or those for clients' certificates. */
type FileGroup = "server" | "clients";

interface Changes {
  /** Called with the new options for future connections. */
  apply(context: SecureContextOptions): void;
  /** Called when client certificates that were accepted before are possibly no longer accepted. */
  onTrustChange(): void;
}

/** The service's own certificate and the trust in clients' certificates, reloaded from files while the service runs. */
export class TlsContext {
  readonly #options: Options;
  #identity: Identity;
  /** Undefined if clients are not asked for certificates. */
  #clients: ClientTrust | undefined;
  /** The content of the files for clients' certificates that is in use, to detect changes. */
  #clientTexts = "";
  /** Whether the revocation lists were valid at the last reload. */
  #isListCurrent: boolean;
  /** Why the latest version of a group of files is not used. Groups without a problem are absent. */
  readonly #problems = new Map<FileGroup, string>();
  /** When the trust in clients last changed, by the monotonic clock. */
  #changedAt = Number.NEGATIVE_INFINITY;
  #cancel = () => {};

  /** Throws StartError if the files are unusable. */
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
      throw new StartError(`the files of TLS cannot be used: ${codeOrMessage(error)}`);
    }
    this.#isListCurrent = this.#areListsCurrent();
  }

  /** The options for new connections. */
  get current(): SecureContextOptions {
    const { cert, key } = this.#identity;
    if (this.#clients === undefined) return { cert, key };
    const { ca, crl } = this.#clients;
    return {
      ...{ cert, key, ca },
      ...(crl === undefined ? {} : { crl: [...crl] }),
      // No session tickets: a resumed session is not verified again, even if the certificate or a revocation list has expired.
      secureOptions: constants.SSL_OP_NO_TICKET,
    };
  }

  /** Validity of the service's certificate and its chain. */
  get validity(): Validity {
    return validityOfChain(this.#identity.cert);
  }

  /** Validity of the authorities that sign clients' certificates; undefined if clients are not asked for certificates. */
  get clientCaValidity(): Validity | undefined {
    return this.#clients && validityOfAuthorities(this.#clients.ca);
  }

  /** Validity of the revocation lists; undefined if there are none. */
  get clientListValidity(): Validity | undefined {
    return this.#clients?.listValidity;
  }

  get asksForCertificates(): boolean {
    return this.#clients !== undefined;
  }

  /** Whether a handshake that ends now may have begun with earlier authorities or revocation lists. */
  get hasJustChanged(): boolean {
    return this.#options.clock.monotonic() - this.#changedAt <= READY_MS;
  }

  /** For each group of files, whether the latest version was rejected, so that the previous version is still in use. */
  get rejected(): Readonly<Record<string, boolean>> {
    const rejected = (group: FileGroup) => this.#problems.has(group);
    return { server: rejected("server"), ...(this.#clients && { clients: rejected("clients") }) };
  }

  /** Why the client's certificate, the first of `chain`, is not accepted at present; undefined if it is accepted. */
  whyRejected(chain: readonly Buffer[]): string | undefined {
    return this.#clients?.whyRejected(
      chain.map((der) => new X509Certificate(der)),
      this.#options.clock.now(),
    );
  }

  /**
   * Reads the files periodically and applies changes. File system events would not suffice: when Kubernetes replaces the symbolic link to the
   * folder of the files, there is no event for a file.
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

  #reload({ apply, onTrustChange }: Changes): void {
    const { log } = this.#options;
    const hasNewIdentity = this.#attempt("server", () => this.#replaceIdentity());
    const hasNewTrust = this.#attempt("clients", () => this.#replaceClients());
    if (hasNewIdentity || hasNewTrust) {
      apply(this.current);
      log.info("took over new TLS certificates: new connections use them");
    }
    const areListsCurrent = this.#areListsCurrent();
    if (hasNewTrust || areListsCurrent !== this.#isListCurrent) onTrustChange();
    this.#isListCurrent = areListsCurrent;
  }

  /**
   * Runs `replace`, which returns whether it has put changed files into use. If `replace` throws, the previous files stay in use. The groups are
   * separate, so that an unusable server certificate does not delay the rejection of revoked clients.
   */
  #attempt(group: FileGroup, replace: () => boolean): boolean {
    try {
      const isNew = replace();
      this.#problems.delete(group);
      return isNew;
    } catch (error) {
      const problem = codeOrMessage(error);
      // Logged once: each reload tries again, since the files may have been replaced only in part so far.
      if (problem !== this.#problems.get(group)) {
        const fields = { files: group, problem };
        this.#options.log.error(fields, "new TLS certificates cannot be used: the old ones stay in use");
      }
      this.#problems.set(group, problem);
      return false;
    }
  }

  #replaceIdentity(): boolean {
    const next = readIdentity(this.#options.files);
    if (next.cert === this.#identity.cert && next.key === this.#identity.key) return false;
    checkTlsFiles(next);
    // A valid certificate is not replaced with an invalid certificate, which may become valid by a later reload.
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

  #replaceClients(): boolean {
    const read = readClients(this.#options.files);
    const texts = JSON.stringify(read);
    if (read === undefined || texts === this.#clientTexts) return false;
    const next = usableClients(read);
    if (this.#clients !== undefined && next.isOlderThan(this.#clients)) {
      throw new RangeError("TLS_CLIENT_CRL_FILE holds a revocation list that is older than the one in use");
    }
    const now = this.#options.clock.now();
    const validity = next.listValidity;
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

  /** Whether the revocation lists in use are valid now; true if there are none. */
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

/** Throws if the files are unusable for {@link ClientTrust}, or for OpenSSL. */
function usableClients(texts: ClientTexts): ClientTrust {
  const trust = new ClientTrust(texts);
  const { ca, crl } = trust;
  createSecureContext({ ca, ...(crl === undefined ? {} : { crl: [...crl] }) });
  return trust;
}
