import type { Decision } from "../decision.ts";

/** The HTTP response for a client whose request is denied. */
interface Denial {
  readonly status: 401 | 503;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
}

export const DENIALS: Record<Exclude<Decision, "pass">, Denial> = {
  revoked: invalidToken("the access token is revoked"),
  malformed: invalidToken("the access token is malformed or not the only credential"),
  "no-jti": invalidToken("the access token has no jti"),
  // RFC 6750, 3.1: without a credential, the challenge has no error code.
  "no-token": unauthorized("Bearer", "an access token is required"),
  unknown: {
    status: 503,
    headers: { "retry-after": "1", ...commonHeaders() },
    text: "it is currently unknown whether the access token is revoked\n",
  },
};

function invalidToken(description: string): Denial {
  return unauthorized(`Bearer error="invalid_token", error_description="${description}"`, description);
}

function unauthorized(challenge: string, text: string): Denial {
  return { status: 401, headers: { "www-authenticate": challenge, ...commonHeaders() }, text: `${text}\n` };
}

/** No cache may reuse the response, neither for another request nor for the same request later. */
function commonHeaders(): Record<string, string> {
  return { "cache-control": "no-store", "content-type": "text/plain; charset=utf-8" };
}
