/** What the service can answer now: everything; only known positives, while the database is unavailable; or nothing. */
export type Serving = "everything" | "positives" | "nothing";

/** A service that is shutting down reports "nothing", so that it gets no new calls. */
export function servingOf({
  isStopping,
  isHealthy,
  knowsPositives,
}: {
  isStopping: boolean;
  /** The database responds and accepts writes. */
  isHealthy: boolean;
  /** The index is complete, so known positives are answered without the database. */
  knowsPositives: boolean;
}): Serving {
  if (isStopping) return "nothing";
  if (isHealthy) return "everything";
  return knowsPositives ? "positives" : "nothing";
}
