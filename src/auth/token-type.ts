/**
 * Token types with a media type of their own (RFC 8725, 3.11: `kind+jwt`) that applications accept or renew. Okta uses
 * `okta-internal-at+jwt`.
 */
const ACCEPTED_KIND = /^(?:(?:.*-)?at|rt|id|(?:access|refresh|id)[-_]token)\+jwt$/;

/** Types of tokens that no application accepts, from issuers that write a word in place of a media type. */
const OTHER_KIND = /^(?:logout|backchannel-logout|secevent|dpop|passport)(?:[-_]?token|[-_]?jwt)?$/;

/**
 * Whether the header's `typ` is compatible with an access, refresh or ID token. True if it is absent, not a string, `JWT`, or another word
 * that is not one of {@link OTHER_KIND}. False for a media type of any other kind, known or not: `logout+jwt`, `secevent+jwt`, `dpop+jwt`.
 * Compared as media types: case-insensitively, with `application/` optional (RFC 7515, 4.1.9).
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
 * Whether the claims are those of a security event token (RFC 8417), such as a logout token: `events` has members named by URIs. The `typ`
 * does not tell, since that of older logout tokens is absent or `JWT`.
 */
export function isSecurityEvent({ events }: Readonly<Record<string, unknown>>): boolean {
  if (typeof events !== "object" || events === null) return false;
  const names = Array.isArray(events) ? events : Object.keys(events);
  return names.some((name) => typeof name === "string" && URI.test(name));
}

const URI = /^[a-z][a-z0-9+.-]*:\S/i;
