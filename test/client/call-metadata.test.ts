import { AsyncLocalStorage } from "node:async_hooks";
import { expect } from "chai";
import { Verdict } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { clientCredentials } from "../../src/client/credentials.ts";
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

  it("goes with every call, as it is when the call is made", async () => {
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

  it("is that of the first of the checks that share a call, also where the call has to wait", async () => {
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
      // Time stands still: nothing but the first answer lets the next call go.
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

  it("never takes the place of the caller's token, and breaks no call by what it throws or cannot send", async () => {
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
      seen.push([sent(service, "authorization"), sent(service, "good")]);
    }
    const token = ["isBlacklisted", "Bearer t0ken"];
    expect(seen).to.deep.equal([
      [[token], [["isBlacklisted", "yes"]]],
      [[token], [["isBlacklisted", "yes"]]],
      [[token], [["isBlacklisted"]]],
      [[token], [["isBlacklisted"]]],
    ]);
  });

  it("is refused where it is no function", async () => {
    const metadata = { traceparent: "x" } as unknown as () => Record<string, string>;
    const refused = await failure((async () => opened("127.0.0.1:1", { metadata }))());
    expect(refused.violations).to.deep.equal([{ field: "metadata", description: "must be a function" }]);
  });
});
