import type { Backend, FreshDatabase } from "../support/backends.ts";
import { describeCutAnswers } from "./contract/cut-answers.ts";
import { describeErrors } from "./contract/errors.ts";
import { describeIdentity } from "./contract/identity.ts";
import { describeListing } from "./contract/listing.ts";
import { describeOpening } from "./contract/opening.ts";
import { describePruning } from "./contract/pruning.ts";
import { describeReads } from "./contract/reads.ts";
import { describeTail } from "./contract/tail.ts";
import { describeWrites } from "./contract/writes.ts";
import { type OpenStores, openTestStore, type TestStore } from "./open-test-store.ts";

/** The contract of every store, on any database: the sentences of `src/store/store.ts`. */
export function describeStore(backend: Backend): void {
  describe(`the store on ${backend.name}`, () => {
    let database: FreshDatabase;
    let opened: TestStore[];

    beforeEach(async () => {
      database = await backend.create();
      opened = [];
    });

    afterEach(async () => {
      await closeAll();
      await database.dispose();
    });

    async function closeAll(): Promise<void> {
      await Promise.all(opened.splice(0).map(({ store }) => store.close()));
    }

    const stores: OpenStores = {
      async open(options) {
        const test = await openTestStore(database.url, options);
        opened.push(test);
        return test;
      },
      async reopen(options) {
        await closeAll();
        return stores.open(options);
      },
    };

    describeIdentity(stores);
    describeWrites(stores);
    describeReads(stores);
    describeListing(stores);
    describePruning(stores);
    describeTail(stores);
    describeOpening(stores);
    describeCutAnswers(stores);
    describeErrors(stores);
  });
}
