import type { Logger } from "pino";
import type { Validity } from "./certificates.ts";
import type { Clock } from "./clock.ts";
import { CERTIFICATE_LOOK_MS, CERTIFICATE_NOTICE_MS, CERTIFICATE_REMINDER_MS } from "./limits.ts";

/** Certificates that the service shows, or trusts, and lists of those that it does not, by the names that metrics and log lines have for them. */
export type CertificateName = "server" | "client-ca" | "client-crl" | "database-ca";

export interface WatchedCertificate {
  readonly certificate: CertificateName;
  /** Where it comes from. */
  readonly setting: string;
  /** Of what is in use now. */
  validity(): Validity;
  /** How long before it expires it is told of, in milliseconds. */
  notice?(validity: Validity): number;
}

type State = "valid" | "expiring" | "expired" | "early";

const SAYS: Readonly<Record<State, { readonly level: "info" | "warn" | "error"; readonly msg: string }>> = {
  valid: { level: "info", msg: "a certificate is valid again, and for long enough" },
  expiring: { level: "warn", msg: "a certificate is about to expire" },
  expired: { level: "error", msg: "a certificate has expired" },
  early: { level: "error", msg: "a certificate is not valid yet" },
};

/**
 * Tells operators in time of certificates that run out. It decides nothing: a service whose certificate has expired goes on, since
 * connections that are open stay, and a new certificate is taken over without a restart.
 */
export class CertificateWatch {
  readonly #watched: readonly WatchedCertificate[];
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #told = new Map<CertificateName, { readonly state: State; readonly at: number }>();
  #cancel = () => {};

  constructor(watched: readonly WatchedCertificate[], { clock, log }: { clock: Clock; log: Logger }) {
    this.#watched = watched;
    this.#clock = clock;
    this.#log = log;
  }

  start(): void {
    for (const watched of this.#watched) this.#look(watched);
    this.#cancel = this.#clock.schedule(CERTIFICATE_LOOK_MS, () => this.start());
  }

  stop(): void {
    this.#cancel();
  }

  /** What `/readyz` says beside: a sentence for each certificate that needs somebody. */
  get notes(): readonly string[] {
    return this.#watched.flatMap((watched) => {
      const { notBefore, notAfter } = watched.validity();
      const says: Readonly<Record<State, string | undefined>> = {
        valid: undefined,
        expiring: `expires at ${timeOf(notAfter)}`,
        expired: `expired at ${timeOf(notAfter)}`,
        early: `is not valid before ${timeOf(notBefore)}`,
      };
      const said = says[this.#stateOf(watched)];
      const what = watched.certificate === "client-crl" ? "revocation list" : "certificate";
      return said === undefined ? [] : [`the ${what} of ${watched.setting} ${said}`];
    });
  }

  /** When each can be used. */
  get validities(): readonly (readonly [CertificateName, Validity])[] {
    return this.#watched.map((watched) => [watched.certificate, watched.validity()]);
  }

  #look(watched: WatchedCertificate): void {
    const { certificate, setting } = watched;
    const state = this.#stateOf(watched);
    const told = this.#told.get(certificate);
    const now = this.#clock.monotonic();
    const isNews = state !== (told?.state ?? "valid");
    const isDue = state !== "valid" && told !== undefined && now - told.at >= CERTIFICATE_REMINDER_MS;
    if (!isNews && !isDue) return;
    const { notBefore, notAfter } = watched.validity();
    const { level, msg } = SAYS[state];
    this.#log[level](
      { certificate, setting, not_before: timeOf(notBefore), not_after: timeOf(notAfter) },
      msg,
    );
    this.#told.set(certificate, { state, at: now });
  }

  #stateOf(watched: WatchedCertificate): State {
    const validity = watched.validity();
    return stateOf(validity, watched.notice?.(validity) ?? CERTIFICATE_NOTICE_MS, this.#clock.now());
  }
}

function stateOf({ notBefore, notAfter }: Validity, noticeMs: number, now: number): State {
  if (now > notAfter) return "expired";
  if (now < notBefore) return "early";
  return notAfter - now < noticeMs ? "expiring" : "valid";
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString().replace(".000Z", "Z");
}
