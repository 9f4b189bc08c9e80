/** The scope of reliable answers: everything; only positives, while the database is unavailable; or nothing. */
export type Serving = "everything" | "positives" | "nothing";

/** Positives are answered without the database. A service that is shutting down reports "nothing". */
export function servingOf({
  isStopping,
  isHealthy,
  knowsPositives,
}: {
  isStopping: boolean;
  /** The database responds and accepts writes. */
  isHealthy: boolean;
  knowsPositives: boolean;
}): Serving {
  if (isStopping) return "nothing";
  if (isHealthy) return "everything";
  return knowsPositives ? "positives" : "nothing";
}
