/** Why there is no jti to check: no token was presented; it has no jti; it is malformed, or not the only one. */
export type NoJti = "no-token" | "no-jti" | "malformed";

/** The decision about a request. Only "pass" lets it through; "unknown" means that the service cannot tell now. */
export type Decision = "pass" | "revoked" | NoJti | "unknown";
