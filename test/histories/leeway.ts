/** The default of EXPIRY_LEEWAY, used by the cluster: how long an entry outlives its `expires_at`. */
export const LEEWAY_MS = 5 * 60_000;
