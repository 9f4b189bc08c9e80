import { ServiceError } from "../errors.ts";

// Why a check or a copy gets no proof, or no index. Positives stay valid; negatives are unavailable.

export const REVISION_LOST = new ServiceError(
  "REVISION_LOST",
  "the database does not have this revision: it was restored, or is another database",
);

export const READ_ONLY = new ServiceError(
  "NOT_FRESH",
  "the database is read-only and may lag: no token can be reported as not blacklisted",
);

export const NOT_FOLLOWING = new ServiceError(
  "NOT_FRESH",
  "the index is not current: it is being loaded, is too large, or the database has lost commits; no token can be reported as not blacklisted until it is current again",
);

export const COMMITS_LOST = new ServiceError(
  "NOT_FRESH",
  "the database lacks commits that this replica has acknowledged: no token can be reported as not blacklisted until it has them again, or the replica is restarted",
);

/** For requests that wait for a proof when the replica stops. */
export const STOPPED = new ServiceError("STORE_UNAVAILABLE", "this replica is shutting down");

/** For streams of Watch. */
export const NO_INDEX = new ServiceError(
  "NOT_FRESH",
  "this replica has no complete index to copy: it is being loaded, too large, or turned off",
);
