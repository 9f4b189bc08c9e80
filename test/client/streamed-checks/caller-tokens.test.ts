import { setImmediate as turn } from "node:timers/promises";
import { expect } from "chai";
import { clientCredentials } from "../../../src/client/credentials.ts";
import { ServiceError } from "../../../src/errors.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { failure } from "../failure.ts";
import { holdStreams } from "../held-streams.ts";
import { Stage } from "../opened.ts";
import type { ScriptedService } from "../scripted-service.ts";
import { answered, SECOND_MS, soon, ways } from "./scripted-answers.ts";

describe("checks over streams with callers' tokens", () => {
  const stage = new Stage();
  let clock: FakeClock;

  beforeEach(() => {
    clock = new FakeClock();
  });
  afterEach(() => stage.close());

  const sent = ({ calls }: ScriptedService) =>
    calls.map(({ authorization, isStreamed }) => [
      String(authorization[0]).replace("Bearer ", ""),
      isStreamed ? "streamed" : "called",
    ]);

  it("request the current token before each stream", async () => {
    let count = 0;
    const credentials = clientCredentials({ token: async () => `token-${++count}` });
    const { client, service } = await stage.scripted({ isBlacklisted: answered }, { clock, credentials });
    for (let round = 0; round < 3; round++) {
      await client.isBlacklisted("a");
      await client.isBlacklisted("b");
      clock.advance(2 * SECOND_MS);
    }
    expect(sent(service)).to.deep.equal(
      ["token-1", "token-1", "token-2", "token-2", "token-3", "token-3"].map((token) => [token, "streamed"]),
    );
  });

  /** A service that accepts only callers whose token is `valid`, and its client. */
  async function withGuard() {
    const state = { valid: "old", current: "old" };
    const credentials = clientCredentials({ token: () => state.current });
    const opened = await stage.scripted(
      {
        isBlacklisted(request, { authorization }) {
          if (authorization[0] !== `Bearer ${state.valid}`)
            throw new ServiceError("UNAUTHENTICATED", "the token has expired");
          return answered(request);
        },
      },
      { clock, credentials },
    );
    return { state, opened };
  }

  it("renew an expired token in mid-stream, and no check fails", async () => {
    const { state, opened } = await withGuard();
    const { client, service, events } = opened;
    await client.isBlacklisted("a");
    state.valid = state.current = "new";
    const answers = [
      await client.isBlacklisted("bad"),
      await client.isBlacklisted("b"),
      await client.isBlacklisted("bad-2"),
    ];
    expect([answers, sent(service), events.filter(([name]) => name === "retried")]).to.deep.equal([
      [true, false, true],
      [
        ["old", "streamed"],
        ["old", "streamed"],
        ["new", "called"],
        ["new", "streamed"],
        ["new", "streamed"],
      ],
      [],
    ]);
    await soon(() => service.streams.open === 1, "the stream of the old one has ended");
  });

  it("reject with UNAUTHENTICATED while the token stays invalid, try at most twice per check, and recover", async () => {
    const { state, opened } = await withGuard();
    const { client, service } = opened;
    await client.isBlacklisted("a");
    state.valid = "new";
    const counts: number[] = [];
    for (let round = 0; round < 4; round++) {
      const before = service.calls.length;
      const { code } = await failure(client.isBlacklisted("b"));
      expect(code).to.equal("UNAUTHENTICATED");
      counts.push(service.calls.length - before);
    }
    state.current = "new";
    expect([counts, await client.isBlacklisted("bad"), await client.isBlacklisted("c")]).to.deep.equal([
      [2, 1, 2, 1],
      true,
      false,
    ]);
  });

  it("reject if the service refuses the stream, as with a call", async () => {
    const refusal = new ServiceError("UNAUTHENTICATED", "who are you?");
    const { client, service } = await stage.scripted(
      {
        isBlacklisted: () => {
          throw refusal;
        },
      },
      { clock, streams: (call) => void call.emit("error", { code: 16, details: "who are you?" }) },
    );
    const { code, reason } = await failure(client.isBlacklisted("a"));
    expect([code, reason, ways(service)]).to.deep.equal(["UNAUTHENTICATED", "UNAUTHENTICATED", ["called"]]);
  });

  it("wait for a slow token, and leave the rest of half of the check's time for the response", async () => {
    let give = (_: string) => {};
    const credentials = clientCredentials({
      token: () =>
        new Promise<string>((resolve) => {
          give = resolve;
        }),
    });
    const { streams, take } = holdStreams();
    const { client, service } = await stage.scripted(
      { isBlacklisted: answered },
      { clock, credentials, streams: take },
    );
    const check = client.isBlacklisted("bad");
    await turn();
    clock.advance(600);
    give("late");
    await soon(() => streams.length === 1, "the stream begins");
    await streams[0]?.asked(1);
    clock.advance(399);
    await turn();
    const before = streams[0]?.left;
    clock.advance(1);
    await streams[0]?.isLeft("cancelled");
    give("again");
    expect([before, await check, ways(service)]).to.deep.equal(["no", true, ["called"]]);
  });

  it("fail with the error of the token source, and open no stream", async () => {
    const cause = new Error("the vault is sealed");
    const credentials = clientCredentials({
      token: () => {
        throw cause;
      },
    });
    const { client, service } = await stage.scripted({ isBlacklisted: answered }, { credentials });
    const { code, cause: kept } = await failure(client.isBlacklisted("a"));
    expect([code, kept, service.streams.begun, service.calls]).to.deep.equal([
      "UNAUTHENTICATED",
      cause,
      0,
      [],
    ]);
  });

  it("time out if no token arrives, and open no stream when the client is closed meanwhile", async () => {
    let give = (_: string) => {};
    const credentials = clientCredentials({
      token: () =>
        new Promise<string>((resolve) => {
          give = resolve;
        }),
    });
    const { client, service } = await stage.scripted({ isBlacklisted: answered }, { credentials });
    const { code } = await failure(client.isBlacklisted("a", { timeoutMs: 20 }));
    const pending = failure(client.isBlacklisted("a"));
    await turn();
    client.close();
    give("too-late");
    expect([code, (await pending).code, service.streams.begun]).to.deep.equal([
      "DEADLINE_EXCEEDED",
      "CANCELLED",
      0,
    ]);
  });
});
