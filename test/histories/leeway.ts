/** The service's EXPIRY_LEEWAY, which the cluster leaves at its default: an entry outlives its `expires_at` by it. */
export const LEEWAY_MS = 5 * 60_000;
