import { Server, ServerCredentials } from "@grpc/grpc-js";
import { expect } from "chai";
import { TokenBlacklist } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { type Principal, UNRESTRICTED_PRINCIPAL } from "../../src/caller.ts";
import { openWatches } from "../../src/grpc/watch-call.ts";
import { DEFAULT_DEADLINE_MS, WATCH_HEARTBEAT_MS } from "../../src/limits.ts";
import { serviceDefinition } from "../../src/protobuf/service-definition.ts";
import { callEnvironment } from "../support/call-environment.ts";
import { newEntry } from "../support/new-entry.ts";
import { RawChannel } from "../support/raw-channel.ts";
import { ends } from "../support/stream-end.ts";
import { until } from "../support/until.ts";
import { WatchHubStage } from "../support/watch-hub-stage.ts";
import { Watcher } from "../support/watcher.ts";

const MOST = 3;

describe("the streams of Watch", () => {
  let stage: WatchHubStage;
  let server: Server;
  let watches: ReturnType<typeof openWatches>;
  let channel: RawChannel;
  let authenticate: () => Principal | Promise<Principal>;
  let disconnected: string[];

  beforeEach(async () => {
    stage = new WatchHubStage();
    stage.store.commit(newEntry("a"));
    await stage.load();
    authenticate = () => UNRESTRICTED_PRINCIPAL;
    disconnected = [];
    watches = openWatches(stage.watchHub, {
      environment: callEnvironment({ clock: stage.clock, authenticate: () => authenticate() }),
      disconnect: (peer) => disconnected.push(peer),
      maxOpen: MOST,
      maxPerCaller: 2,
    });
    server = new Server();
    const { watch } = serviceDefinition(TokenBlacklist);
    server.addService({ watch } as never, { watch: watches.handle });
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
    channel = new RawChannel(`127.0.0.1:${port}`);
  });
  afterEach(() => {
    channel.close();
    server.forceShutdown();
  });

  it("are limited in number, started or not; one that has ended makes room", async () => {
    const served = [Watcher.begin(channel), Watcher.begin(channel)];
    await Promise.all(served.map((one) => one.complete()));
    // The third is silent, but counts as well: the fourth comes after it on the same connection.
    const silent = new Watcher(channel);
    const refused = Watcher.begin(channel);
    expect(await refused.ended).to.deep.equal(ends("RESOURCE_EXHAUSTED", "OVERLOADED"));
    served[0]?.cancel();
    const isRoom = async () => {
      const watcher = Watcher.begin(channel);
      const came = await Promise.race([watcher.complete(), watcher.ended]);
      return came === watcher;
    };
    await until(isRoom, { withinMs: 2000, what: "there is room again" });
    silent.cancel();
  });

  describe("of authenticated callers", () => {
    const by = (name: string) => {
      authenticate = () => ({ name, roles: new Set(["check"]) });
    };
    const opened = async (name: string) => {
      by(name);
      const watcher = Watcher.begin(channel);
      const came = await Promise.race([watcher.complete(), watcher.ended]);
      return came === watcher ? watcher : (came as Awaited<Watcher["ended"]>);
    };
    const REFUSED = ends("RESOURCE_EXHAUSTED", "OVERLOADED");

    it("are limited per caller, and others are still accepted", async () => {
      const outcomes = [await opened("greedy"), await opened("greedy"), await opened("greedy")];
      expect(outcomes[2]).to.deep.equal(REFUSED);
      const other = await opened("other");
      expect(other).to.be.instanceOf(Watcher);
      expect(stage.watchHub.size).to.equal(3);
    });

    it("make room for a caller with fewer by ending the newest of the caller with the most", async () => {
      const [first, second, third] = [await opened("a"), await opened("a"), await opened("b")] as [
        Watcher,
        Watcher,
        Watcher,
      ];
      const newcomer = await opened("c");
      expect(newcomer).to.be.instanceOf(Watcher);
      expect(await second.ended).to.deep.equal(REFUSED);
      // Each caller has one: none has to make room any more.
      expect(await opened("d")).to.deep.equal(REFUSED);
      expect(await opened("a")).to.deep.equal(REFUSED);
      expect(stage.watchHub.size).to.equal(3);
      first.cancel();
      await until(() => stage.watchHub.size === 2, { withinMs: 2000, what: "one stream has ended" });
      expect(await opened("d")).to.be.instanceOf(Watcher);
      third.cancel();
    });

    it("take no place before they are authenticated, and leave none behind", async () => {
      for (let times = 0; times < 5; times++) {
        authenticate = () => Promise.reject(new Error("unforeseen"));
        await Watcher.begin(channel).ended;
        const one = (await opened("a")) as Watcher;
        one.cancel();
        await until(() => stage.watchHub.size === 0, { withinMs: 2000, what: "the stream has ended" });
      }
      for (const name of ["a", "b", "c"]) expect(await opened(name)).to.be.instanceOf(Watcher);
    });
  });

  it("all end when the replica drains, even one that is still being authenticated", async () => {
    const served = await Watcher.begin(channel).complete();
    let know = (_: Principal) => {};
    let isAsked = false;
    authenticate = () => {
      isAsked = true;
      return new Promise((resolve) => {
        know = resolve;
      });
    };
    const unknown = Watcher.begin(channel);
    await until(() => isAsked, { withinMs: 2000, what: "the caller is being authenticated" });
    watches.drain();
    know(UNRESTRICTED_PRINCIPAL);
    expect([await served.ended, await unknown.ended]).to.deep.equal([
      ends("UNAVAILABLE", "DRAINING"),
      ends("UNAVAILABLE", "DRAINING"),
    ]);
    expect([unknown.messages, stage.watchHub.size]).to.deep.equal([[], 0]);
  });

  it("end once: a client that cancels during the start of its snapshot leaves nothing behind", async () => {
    stage.store.holding = true;
    stage.store.changes.splice(0);
    const leaving = Watcher.begin(channel);
    await until(() => stage.store.changes.length > 0, {
      withinMs: 2000,
      what: "the read for the proof has begun",
    });
    leaving.cancel();
    await leaving.ended;
    stage.store.holding = false;
    for (const held of stage.store.changes) await held.release();
    const other = await Watcher.begin(channel).complete();
    other.cancel();
    await until(() => stage.watchHub.size === 0 && stage.clock.pendingTimers === 0, {
      withinMs: 2000,
      what: "no stream or timer is left",
    });
    expect(disconnected).to.deep.equal([]);
  });

  it("report a failed authentication with its reason", async () => {
    authenticate = () => Promise.reject(new Error("unforeseen"));
    expect(await Watcher.begin(channel).ended).to.deep.equal(ends("INTERNAL", "INTERNAL"));
    authenticate = () => {
      throw new Error("unforeseen");
    };
    expect(await Watcher.begin(channel).ended).to.deep.equal(ends("INTERNAL", "INTERNAL"));
  });

  it("answer all requests from before the client half-closed, and then end with OK", async () => {
    const asking = Watcher.begin(channel);
    asking.send({ case: "sync", value: { id: 1n } });
    asking.send({ case: "sync", value: { id: 2n } });
    asking.stream.end();
    expect((await asking.ended).code).to.equal("OK");
    expect(asking.story.slice(0, 3)).to.deep.equal(["snapshot", "1 entries complete", "synced"]);
    const last = asking.messages.at(-1)?.response;
    expect(last?.case === "synced" && last.value.id).to.equal(2n);

    const reading = Watcher.begin(channel);
    reading.stream.end();
    expect((await reading.ended).code).to.equal("OK");
    expect(reading.story).to.deep.equal(["snapshot", "1 entries complete"]);
    expect(stage.watchHub.size).to.equal(0);
  });

  it("wait for the proof that a half-closed client has requested, or end with OK if it has requested none", async () => {
    const asking = await Watcher.begin(channel).complete();
    stage.store.holding = true;
    stage.store.changes.splice(0);
    asking.send({ case: "sync", value: { id: 1n } });
    asking.stream.end();
    await until(() => stage.store.changes.length > 0, {
      withinMs: 2000,
      what: "the read for the proof has begun",
    });
    expect(stage.watchHub.size).to.equal(1);
    stage.store.holding = false;
    for (const held of stage.store.changes) await held.fail(new Error("the database is away"));
    expect((await asking.ended).code).to.equal("OK");
    expect(asking.story.at(-1)).to.equal("unsynced");
  });

  it("end with OK when a client half-closes without any request", async () => {
    const silent = new Watcher(channel);
    silent.stream.end();
    expect((await silent.ended).code).to.equal("OK");
    expect(silent.messages).to.deep.equal([]);
  });

  it("leave no timer behind however they end, and disconnect no client that reads the end", async () => {
    const [done, gone] = await Promise.all([1, 2].map(() => Watcher.begin(channel).complete()));
    const refused = new Watcher(channel);
    refused.send({ case: "sync", value: { id: 1n } });
    done?.stream.end();
    gone?.cancel();
    await Promise.all([done?.ended, gone?.ended, refused.ended]);
    await until(() => stage.clock.pendingTimers === 0, { withinMs: 2000, what: "all timers are gone" });
    for (let waited = 0; waited <= 2 * DEFAULT_DEADLINE_MS; waited += WATCH_HEARTBEAT_MS)
      stage.clock.advance(WATCH_HEARTBEAT_MS);
    expect(disconnected).to.deep.equal([]);
  });
});
