/**
 * What can be answered at the moment: everything; only what is known to be blacklisted, since the database cannot be asked; or
 * nothing for certain.
 */
export type Serving = "everything" | "positives" | "nothing";
