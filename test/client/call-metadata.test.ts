import { AsyncLocalStorage } from "node:async_hooks";
import { expect } from "chai";
import { Verdict } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { clientCredentials } from "../../src/client/credentials.ts";
import { MAX_QUESTION_METADATA, MAX_QUESTION_METADATA_BYTES } from "../../src/limits.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { failure } from "./failure.ts";
import { opened, Stage } from "./opened.ts";
import type { Script, ScriptedService } from "./scripted-service.ts";

const YEAR_2100 = new Date("2100-01-01T00:00:00Z");

describe("the metadata that a gateway adds", () => {
  const stage = new Stage();
  afterEach(() => stage.close());

  const script: Script = {
    isBlacklisted: ({ jtis }) => ({ verdicts: jtis.map(() => Verdict.NOT_BLACKLISTED), revision: "1" }),
    blacklist: ({ tokens }) => ({
      results: tokens.map(({ token, expiresAt }) => ({
        token: { jti: String(token.value), ...(expiresAt && { expiresAt }) },
        outcome: 1,
      })),
      revision: "1",
    }),
    list: () => ({ tokens: [] }),
    prune: () => ({}),
  };
  const sent = (service: ScriptedService, name: string) =>
    service.calls.map(({ method, metadata }) => [method, ...metadata.get(name)]);

  it("is sent with every call, as it is at the time of the call", async () => {
    let calls = 0;
    const { client, service } = await stage.scripted(script, {
      metadata: () => ({ traceparent: `call ${++calls}` }),
    });
    await client.isBlacklisted("a");
    await client.blacklist([{ jti: "a", expiresAt: YEAR_2100 }]);
    for await (const _ of client.list()) expect.fail("there is nothing");
    await client.prune();
    expect(sent(service, "traceparent")).to.deep.equal([
      ["isBlacklisted", "call 1"],
      ["blacklist", "call 2"],
      ["list", "call 3"],
      ["prune", "call 4"],
    ]);
  });

  it("is that of the first of the checks that share a call, even if the call has to wait", async () => {
    const current = new AsyncLocalStorage<string>();
    let letGo = () => {};
    const held = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    const { client, service } = await stage.scripted(
      {
        ...script,
        isBlacklisted: async ({ jtis }) => {
          await held;
          return { verdicts: jtis.map(() => Verdict.NOT_BLACKLISTED), revision: "1" };
        },
      },
      // Time stands still: only the first response releases the next call.
      { metadata: () => ({ traceparent: current.getStore() ?? "" }), clock: new FakeClock() },
    );
    const asking = (name: string) => current.run(name, () => client.isBlacklisted(name));
    const first = asking("first");
    while (service.calls.length === 0) await new Promise(setImmediate);
    const later = [asking("second"), asking("third")];
    letGo();
    await Promise.all([first, ...later]);
    expect(sent(service, "traceparent")).to.deep.equal([
      ["isBlacklisted", "first"],
      ["isBlacklisted", "second"],
    ]);
  });

  it("never replaces the caller's token, and no error or invalid value in it fails a call", async () => {
    const gifts = [
      () => ({
        authorization: "Bearer other",
        Authorization: "Bearer other",
        "grpc-timeout": "1n",
        good: "yes",
      }),
      () => ({ "not a name": "x", "bytes-bin": "x", traceparent: "two\nlines", good: "yes" }),
      () => {
        throw new Error("broken");
      },
      () => undefined as unknown as Record<string, string>,
    ];
    const seen: unknown[] = [];
    for (const metadata of gifts) {
      const { client, service } = await stage.scripted(script, {
        metadata,
        credentials: clientCredentials({ token: "t0ken" }),
      });
      expect(await client.isBlacklisted("a")).to.equal(false);
      const { authorization, metadata: own } = service.calls[0] as ScriptedService["calls"][number];
      seen.push([authorization, own.getMap()]);
    }
    const token = ["Bearer t0ken"];
    expect(seen).to.deep.equal([
      [token, { good: "yes" }],
      [token, { good: "yes" }],
      [token, {}],
      [token, {}],
    ]);
  });

  it("is sent with a question up to the bounds of the contract, and is omitted above them", async () => {
    const named = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`name-${index}`, "x"]));
    const gifts = [
      named(MAX_QUESTION_METADATA + 1),
      { first: "x".repeat(MAX_QUESTION_METADATA_BYTES), traceparent: "kept" },
      { first: "x".repeat(MAX_QUESTION_METADATA_BYTES - "first".length), traceparent: "omitted" },
    ];
    const seen: unknown[] = [];
    for (const given of gifts) {
      const { client, service } = await stage.scripted(script, { metadata: () => given });
      expect(await client.isBlacklisted("a")).to.equal(false);
      expect(service.calls[0]?.isStreamed).to.equal(true);
      seen.push(Object.keys(service.calls[0]?.metadata.getMap() ?? {}));
    }
    expect(seen).to.deep.equal([Object.keys(named(MAX_QUESTION_METADATA)), ["traceparent"], ["first"]]);
  });

  it("is refused if it is not a function", async () => {
    const metadata = { traceparent: "x" } as unknown as () => Record<string, string>;
    const refused = await failure((async () => opened("127.0.0.1:1", { metadata }))());
    expect(refused.violations).to.deep.equal([{ field: "metadata", description: "must be a function" }]);
  });
});
