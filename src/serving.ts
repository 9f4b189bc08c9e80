/** What the service can answer now: everything; only known positives, while the database is unavailable; or nothing. */
export type Serving = "everything" | "positives" | "nothing";
