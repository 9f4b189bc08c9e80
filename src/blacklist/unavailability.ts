import { ServiceError } from "../errors.ts";

// Errors that make negatives unavailable although the database answers; positives stay valid.

export const REVISION_LOST = new ServiceError(
  "REVISION_LOST",
  "the database does not have the revision named: it was restored, or is another one",
);

export const READ_ONLY = new ServiceError(
  "NOT_FRESH",
  "the database is read-only and may lag behind: nothing can be ruled out",
);

export const HISTORY_CHANGED = new ServiceError(
  "NOT_FRESH",
  "the database has lost commits and is being read anew: nothing can be ruled out until that is done",
);

export const COMMITS_LOST = new ServiceError(
  "NOT_FRESH",
  "the database lacks commits that this replica has acknowledged: nothing can be ruled out until it has them again, or the replica is restarted",
);

export const STOPPED = new ServiceError("STORE_UNAVAILABLE", "this replica is shutting down");

export const NO_INDEX = new ServiceError(
  "NOT_FRESH",
  "this replica has no complete index to copy: it is being loaded, too large, or turned off",
);
