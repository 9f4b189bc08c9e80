import { expect } from "chai";
import { rejection } from "../../support/rejection.ts";
import { at, entry, expiryContext, jti, type OpenStores, query } from "../open-test-store.ts";

export function describeErrors({ open }: OpenStores): void {
  it("omits the failed statement and its values from its errors", async () => {
    const { store, engine } = await open();
    await store.write([entry("canary", { expiresAt: at(1) })], expiryContext(1));
    await engine.knex.schema.renameTable("blacklisted_tokens", "elsewhere");
    const prune = { ...expiryContext(), retentionMs: 0, limit: 10, expiredBefore: undefined, dryRun: false };
    const failed = [
      store.prune(prune),
      store.list(query({}, { keys: [jti("canary")] })),
      engine.knex("blacklisted_tokens").whereRaw("jti IN (x'63616e617279')").delete(),
    ];
    for (const error of await Promise.all(failed.map(rejection))) {
      expect(String(error)).not.to.match(/canary|63616e617279|select|delete/i);
    }
  });
}
