import type { Logger } from "pino";
import type { Clock } from "../time/clock.ts";
import type { Validity } from "./certificates.ts";

/** How long before its expiry a certificate is reported by default: two weeks, which include working days. The alert uses the same time. */
const DEFAULT_NOTICE_MS = 14 * 86_400_000;
const CERTIFICATE_CHECK_MS = 60_000;
/** Interval at which the report of a certificate that is not valid, or about to expire, is repeated. */
const REMINDER_MS = 86_400_000;

/** The certificates that the service presents or trusts, and its revocation lists, as they are named in metrics and log lines. */
type CertificateName = "server" | "client-ca" | "client-crl" | "database-ca";

export interface WatchedCertificate {
  readonly certificate: CertificateName;
  /** The name of the setting with the path of the certificate's file. */
  readonly setting: string;
  /** The validity of the version of the file that is in use. */
  validity(): Validity;
  /** How long before its expiry the certificate is reported, in milliseconds. Absent: two weeks. */
  noticeMs?(validity: Validity): number;
}

type State = "valid" | "expiring" | "expired" | "not-yet-valid";

const REPORTS: Readonly<Record<State, { readonly level: "info" | "warn" | "error"; readonly msg: string }>> =
  {
    valid: { level: "info", msg: "a certificate is valid again" },
    expiring: { level: "warn", msg: "a certificate is about to expire" },
    expired: { level: "error", msg: "a certificate has expired" },
    "not-yet-valid": { level: "error", msg: "a certificate is not valid yet" },
  };

/**
 * Reports certificates that are about to expire. A service whose certificate has expired keeps running, since open connections stay valid and
 * a new certificate is loaded without a restart.
 */
export class CertificateWatch {
  readonly #watched: readonly WatchedCertificate[];
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #reported = new Map<CertificateName, { readonly state: State; readonly at: number }>();
  #cancel = () => {};

  constructor(watched: readonly WatchedCertificate[], { clock, log }: { clock: Clock; log: Logger }) {
    this.#watched = watched;
    this.#clock = clock;
    this.#log = log;
  }

  /** Checks the certificates now, and then periodically. */
  start(): void {
    for (const watched of this.#watched) this.#check(watched);
    this.#cancel = this.#clock.schedule(CERTIFICATE_CHECK_MS, () => this.start());
  }

  stop(): void {
    this.#cancel();
  }

  /** Notes for `/readyz`: a sentence for each certificate that needs attention. */
  get notes(): readonly string[] {
    return this.#watched.flatMap((watched) => {
      const { notBefore, notAfter } = watched.validity();
      const notes: Readonly<Record<State, string | undefined>> = {
        valid: undefined,
        expiring: `expires at ${timeOf(notAfter)}`,
        expired: `expired at ${timeOf(notAfter)}`,
        "not-yet-valid": `is not valid before ${timeOf(notBefore)}`,
      };
      const note = notes[this.#stateOf(watched)];
      const what = watched.certificate === "client-crl" ? "revocation list" : "certificate";
      return note === undefined ? [] : [`the ${what} of ${watched.setting} ${note}`];
    });
  }

  /** The validity of each certificate, by its name. */
  get validities(): readonly (readonly [CertificateName, Validity])[] {
    return this.#watched.map((watched) => [watched.certificate, watched.validity()]);
  }

  #check(watched: WatchedCertificate): void {
    const { certificate, setting } = watched;
    const state = this.#stateOf(watched);
    const reported = this.#reported.get(certificate);
    const now = this.#clock.monotonic();
    const hasChanged = state !== (reported?.state ?? "valid");
    const isDue = state !== "valid" && reported !== undefined && now - reported.at >= REMINDER_MS;
    if (!hasChanged && !isDue) return;
    const { notBefore, notAfter } = watched.validity();
    const { level, msg } = REPORTS[state];
    this.#log[level](
      { certificate, setting, not_before: timeOf(notBefore), not_after: timeOf(notAfter) },
      msg,
    );
    this.#reported.set(certificate, { state, at: now });
  }

  #stateOf(watched: WatchedCertificate): State {
    const validity = watched.validity();
    return stateOf(validity, watched.noticeMs?.(validity) ?? DEFAULT_NOTICE_MS, this.#clock.now());
  }
}

function stateOf({ notBefore, notAfter }: Validity, noticeMs: number, now: number): State {
  if (now > notAfter) return "expired";
  if (now < notBefore) return "not-yet-valid";
  return notAfter - now < noticeMs ? "expiring" : "valid";
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString().replace(".000Z", "Z");
}
