/** Why a request has no jti to check: no token; a token without a jti; a malformed token, or more than one token. */
export type NoJti = "no-token" | "no-jti" | "malformed";

/** The decision about a request. Only "pass" lets it through; "unknown" means that the service cannot tell at the moment. */
export type Decision = "pass" | "revoked" | NoJti | "unknown";
