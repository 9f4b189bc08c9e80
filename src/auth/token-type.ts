/**
 * Kinds of token that have a media type of their own (RFC 8725, 3.11: `kind+jwt`) and that applications accept or renew. Okta writes
 * `okta-internal-at+jwt`.
 */
const ACCEPTED_KIND = /^(?:(?:.*-)?at|rt|id|(?:access|refresh|id)[-_]token)\+jwt$/;

/** The same words without `+jwt`, from issuers that do not write media types. */
const OTHER_KIND = /^(?:logout|backchannel-logout|secevent|dpop|passport)(?:[-_]?token|[-_]?jwt)?$/;

/**
 * Whether a header's `typ` lets its token be an access, refresh or ID token. Absent, `JWT`, no text at all, and any word that names no
 * kind say nothing against it. A media type `kind+jwt` of any other kind does: `logout+jwt`, `secevent+jwt`, `dpop+jwt`, and those still to come. Compared as media types
 * are: without regard to case, `application/` left out or not (RFC 7515, 4.1.9).
 */
export function isAcceptedType(typ: unknown): boolean {
  if (typeof typ !== "string") return true;
  const kind = typ
    .trim()
    .toLowerCase()
    .replace(/^application\//, "");
  return kind.includes("+") ? ACCEPTED_KIND.test(kind) : !OTHER_KIND.test(kind);
}

/**
 * Whether claims are those of a security event (RFC 8417), such as a logout token: `events` holds members that URIs name. Its `typ` need
 * not say so: that of older logout tokens is absent or `JWT`.
 */
export function isSecurityEvent({ events }: Readonly<Record<string, unknown>>): boolean {
  if (typeof events !== "object" || events === null) return false;
  const names = Array.isArray(events) ? events : Object.keys(events);
  return names.some((name) => typeof name === "string" && URI.test(name));
}

const URI = /^[a-z][a-z0-9+.-]*:\S/i;
