import type { Entry, EpochMs, Jti, NewEntry } from "../../src/entry.ts";
import type { Revision } from "../../src/revision.ts";
import type {
  Deployment,
  ListPage,
  PruneOrder,
  PruneReceipt,
  Receipt,
  Sighting,
  Store,
  Terms,
  WriteResult,
} from "../../src/store/store.ts";
import type { FakeClock } from "./fake-clock.ts";

/** An operation that has begun, and ends when the test says so. Both ends resolve when all that follows has happened. */
export interface Held<I> {
  readonly input: I;
  release(): Promise<void>;
  fail(error: unknown): Promise<void>;
}

/**
 * A store in memory whose operations wait, once begun, for the test to release them: so a test decides what comes
 * before what. Reads see what was there when they began, writes happen when they are released.
 */
export class HeldStore implements Store {
  /** All that ever began, in order; inputs as given. */
  readonly writes: Held<readonly NewEntry[]>[] = [];
  readonly reads: Held<readonly Jti[]>[] = [];
  readonly prunes: Held<PruneOrder>[] = [];
  readonly table = new Map<string, Entry>();
  writable = true;
  /** How far the database's clock is ahead of the service's. */
  skewMs = 0;
  /** What `prune` answers, in turn; nothing left to do when there are no more. */
  readonly pruneReceipts: PruneReceipt[] = [];
  /** What `missing` fails with, if anything. */
  missingFailure: unknown;
  readonly #clock: FakeClock;
  readonly #holding: boolean;
  #revision = 0;

  constructor({ clock, holding = true }: { clock: FakeClock; holding?: boolean }) {
    this.#clock = clock;
    this.#holding = holding;
  }

  get revision(): Revision {
    return { number: this.#revision, stamp: this.#revision.toString(16).padStart(16, "0") };
  }

  get clock(): EpochMs {
    return (this.#clock.now() + this.skewMs) as EpochMs;
  }

  async open(): Promise<Deployment> {
    return { generation: "0".repeat(32), secret: Buffer.alloc(32), remark: undefined };
  }

  write(entries: readonly NewEntry[], terms: Terms): Promise<Receipt> {
    return this.#hold(this.writes, entries, () => this.#commit(entries, terms));
  }

  read(jtis: readonly Jti[]): Promise<Sighting> {
    const found = jtis.flatMap((jti) => this.table.get(jti) ?? []);
    const sighting = {
      revision: this.revision,
      clock: this.clock,
      writable: this.writable,
      expiries: new Map(found.map(({ jti, expiresAt }) => [jti, expiresAt])),
    };
    return this.#hold(this.reads, jtis, () => sighting);
  }

  async missing(revisions: readonly Revision[]): Promise<Revision[]> {
    if (this.missingFailure !== undefined) throw this.missingFailure;
    return revisions.filter(
      ({ number, stamp }) => number > this.#revision || Number.parseInt(stamp, 16) !== number,
    );
  }

  prune(order: PruneOrder): Promise<PruneReceipt> {
    return this.#hold(this.prunes, order, () => this.pruneReceipts.shift() ?? { count: 0, hasMore: false });
  }

  async list(): Promise<ListPage> {
    throw new Error("no test of an order of events lists anything");
  }

  async close(): Promise<void> {}

  #hold<I, T>(begun: Held<I>[], input: I, effect: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const end = (outcome: () => void): Promise<void> => {
        outcome();
        return turn();
      };
      const held = {
        input,
        release: () => end(() => resolve(effect())),
        fail: (error: unknown) => end(() => reject(error)),
      };
      begun.push(held);
      if (!this.#holding) resolve(effect());
    });
  }

  #commit(entries: readonly NewEntry[], { now, leewayMs }: Terms): Receipt {
    this.#revision++;
    const judgedAt = Math.min(now, this.clock);
    const results = entries.map((asked): WriteResult => {
      const stored = this.table.get(asked.jti);
      if (stored === undefined || stored.expiresAt + leewayMs <= judgedAt) {
        return { outcome: "created", entry: { ...asked, createdAt: this.clock } };
      }
      if (asked.expiresAt <= stored.expiresAt) return { outcome: "unchanged", entry: stored };
      return { outcome: "extended", entry: { ...stored, expiresAt: asked.expiresAt } };
    });
    for (const { entry } of results) this.table.set(entry.jti, entry);
    return { revision: this.revision, results };
  }
}

/** Resolves when every promise that can go on without an outside event has gone on. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
