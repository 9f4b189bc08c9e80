/**
 * What can be answered at the moment: everything; only what is known to be blacklisted, since the database cannot be asked; or
 * nothing for certain.
 */
export type Serving = "everything" | "positives" | "nothing";

/** Known positives are answered without the database; nothing is, for long, by a service that stops. */
export function servingOf({
  isStopping,
  isHealthy,
  knowsPositives,
}: {
  isStopping: boolean;
  /** The database answers, and takes writes. */
  isHealthy: boolean;
  knowsPositives: boolean;
}): Serving {
  if (isStopping) return "nothing";
  if (isHealthy) return "everything";
  return knowsPositives ? "positives" : "nothing";
}
