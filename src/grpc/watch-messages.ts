import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  EntryKind,
  type WatchRequest_Start,
  WatchResponseSchema,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import type { Change } from "../blacklist/change-log.ts";
import type { Delivery } from "../blacklist/subscription.ts";
import type { CopyState } from "../blacklist/watch-hub.ts";
import type { EpochMs } from "../entry.ts";
import { toTimestamp } from "../protobuf/timestamps.ts";
import { formatRevision, parseRevision, type Revision } from "../revision.ts";
import { FINGERPRINT_KEY_BYTES, HASH_NAME } from "../token-index/fingerprint.ts";
import { Violations } from "./violations.ts";

type Response = NonNullable<MessageInitShape<typeof WatchResponseSchema>["response"]>;

/** The state of the caller's copy, from which the stream resumes; undefined if the caller has no copy. Throws INVALID_REQUEST. */
export function readStart({
  revision,
  key: fingerprintKey,
  entryKinds,
}: WatchRequest_Start): CopyState | undefined {
  const violations = new Violations();
  if (!entryKinds.includes(EntryKind.JTI)) {
    violations.add("start.entry_kinds", "must hold ENTRY_KIND_JTI: the blacklist has entries of this kind");
  }
  const parsed = revision === "" ? undefined : parseRevision(revision);
  if (revision !== "" && parsed === undefined)
    violations.add("start.revision", "must be a revision that this service returned");
  if (revision !== "" && fingerprintKey.length !== FINGERPRINT_KEY_BYTES) {
    violations.add("start.key", `must be given with a revision, and have ${FINGERPRINT_KEY_BYTES} bytes`);
  }
  violations.throwIfAny();
  return parsed === undefined ? undefined : { revision: parsed, fingerprintKey };
}

/** Encodes the messages of streams. A change is sent to every stream, but encoded only once. */
export class WatchMessages {
  readonly #now: () => EpochMs;
  readonly #encodedChanges = new WeakMap<Change, Buffer>();

  /** `now` returns the time that is sent in each message. A change is sent with the time at which it was encoded. */
  constructor(now: () => EpochMs) {
    this.#now = now;
  }

  encode(delivery: Delivery): Buffer {
    switch (delivery.kind) {
      case "opened":
        return this.#encode({
          case: "opened",
          value: {
            snapshot: delivery.isSnapshot,
            hash: HASH_NAME,
            key: delivery.fingerprintKey,
            entryCount: BigInt(delivery.count),
          },
        });
      case "part":
        return this.#encode({
          case: "entries",
          value: { ...delivery.entries, revision: textOf(delivery.revision) },
        });
      case "change":
        return this.#encodeChange(delivery.change);
      case "synced":
        return this.#encode({
          case: "synced",
          value: { id: delivery.id, revision: formatRevision(delivery.revision) },
        });
      case "unsynced":
        return this.#encode({ case: "unsynced", value: { id: delivery.id, reason: delivery.reason } });
    }
  }

  heartbeat(): Buffer {
    return this.#encode({ case: "heartbeat", value: {} });
  }

  #encodeChange(change: Change): Buffer {
    let encoded = this.#encodedChanges.get(change);
    if (encoded === undefined) {
      const { fingerprints, until, revision } = change;
      encoded = this.#encode({ case: "entries", value: { fingerprints, until, revision: textOf(revision) } });
      this.#encodedChanges.set(change, encoded);
    }
    return encoded;
  }

  #encode(response: Response): Buffer {
    const bytes = toBinary(
      WatchResponseSchema,
      create(WatchResponseSchema, { time: toTimestamp(this.#now()), response }),
    );
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
}

/** The revision as text; empty if there is none. */
function textOf(revision: Revision | undefined): string {
  return revision === undefined ? "" : formatRevision(revision);
}
