import { expect } from "chai";
import { beforeEach, describe, it } from "mocha";
import {
  addressPrefix,
  type CloseReason,
  type Connection,
  Connections,
} from "../../src/connections/connections.ts";
import { MAX_UNAUTHENTICATED_CALLS } from "../../src/limits.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { memoryLog } from "../support/memory-log.ts";

const LIMITS = { total: 4, perAddress: 3, unauthenticated: 4, readyMs: 15_000, unusedMs: 60_000 };

describe("Connections", () => {
  let clock: FakeClock;
  let log: ReturnType<typeof memoryLog>;
  let connections: Connections;
  /** The connections closed by the service, with their reasons. */
  let closed: string[];
  let port: number;

  beforeEach(() => {
    clock = new FakeClock();
    log = memoryLog();
    connections = new Connections({ limits: LIMITS, listener: "LISTEN_ADDRESS", clock, log: log.log });
    closed = [];
    port = 0;
  });

  function open(name: string, remoteAddress = `10.0.0.${++port}`): Connection | undefined {
    const onClose = (reason: CloseReason) => closed.push(`${name} ${reason}`);
    return connections.open({ remoteAddress, remotePort: 1 }, onClose);
  }

  it("evicts the connection that has been inactive longest", () => {
    const [a, b] = ["a", "b", "c", "d"].map((name) => open(name));
    a?.beginCall()();
    open("e");
    expect(closed).to.deep.equal(["b evicted"]);
    b?.closed();
    expect(connections.size).to.equal(4);
  });

  it("evicts connections with calls in flight last", () => {
    for (const name of ["a", "b", "c"]) open(name)?.beginCall();
    open("d");
    open("e");
    expect(closed).to.deep.equal(["d evicted"]);
    open("f")?.beginCall();
    open("g")?.beginCall();
    expect(closed).to.deep.equal(["d evicted", "e evicted", "a evicted"]);
  });

  it("evicts the connection whose calls weigh most, when all together weigh too much", () => {
    const [heavy, busy, other] = ["heavy", "busy", "other"].map((name) => open(name));
    const ends = Array.from({ length: 5 }, () => heavy?.beginCall(400));
    for (let call = 0; call < MAX_UNAUTHENTICATED_CALLS - 2000; call++) busy?.beginCall();
    expect(closed).to.deep.equal([]);
    other?.beginCall();
    expect(closed).to.deep.equal(["heavy evicted"]);
    // What an evicted connection held is free again, once.
    for (const end of ends) end?.();
    for (let call = 0; call < 1999; call++) other?.beginCall();
    expect(closed).to.deep.equal(["heavy evicted"]);
    other?.beginCall();
    expect(closed).to.deep.equal(["heavy evicted", "other evicted"]);
  });

  it("refuses a new connection rather than evict an authenticated one", () => {
    for (const name of ["a", "b", "c", "d"]) open(name)?.authenticated();
    expect(open("e")).to.equal(undefined);
    expect([closed, connections.closed.refused, connections.size]).to.deep.equal([[], 1, 4]);
  });

  it("keeps a connection that authenticates during a flood, which evicts its own", () => {
    const gateway = open("gateway");
    connections.authenticated({ peer: "10.0.0.1:1" }, "gateway");
    expect(gateway?.isAuthenticated).to.equal(true);
    for (let index = 0; index < 100; index++) open("flood", "10.9.9.9");
    expect(connections.find("10.0.0.1:1")).to.equal(gateway);
    expect(new Set(closed)).to.deep.equal(new Set(["flood evicted"]));
    // A new gateway is still accepted.
    expect(open("other gateway")).to.not.equal(undefined);
  });

  it("bounds connections per address, so that a flood from one address affects no other", () => {
    const elsewhere = open("elsewhere");
    for (let index = 0; index < 5; index++) open(`flood-${index}`, "10.9.9.9");
    expect(closed).to.deep.equal(["flood-0 evicted", "flood-1 evicted"]);
    expect(elsewhere?.isAuthenticated).to.equal(false);
    expect(connections.size).to.equal(4);
  });

  it("refuses an address whose connections are all authenticated", () => {
    for (let index = 0; index < 3; index++) open("proxy", "10.9.9.9")?.authenticated();
    expect(open("proxy", "10.9.9.9")).to.equal(undefined);
    expect(open("elsewhere")).to.not.equal(undefined);
  });

  it("bounds unauthenticated connections, even below the total", () => {
    const limits = { ...LIMITS, total: 100, perAddress: 100, unauthenticated: 2 };
    connections = new Connections({ limits, listener: "LISTEN_ADDRESS", clock, log: log.log });
    for (const name of ["a", "b", "c"]) open(name);
    expect([closed, connections.size, connections.unauthenticated]).to.deep.equal([["a evicted"], 2, 2]);
  });

  it("closes the busiest connection above three thousand unauthenticated calls in flight", () => {
    const [probe, hoarder, gateway] = ["probe", "hoarder", "gateway"].map((name) => open(name));
    const end = probe?.beginCall();
    for (let calls = 0; calls < 2500; calls++) gateway?.beginCall();
    gateway?.authenticated();
    for (let calls = 0; calls < 2999; calls++) hoarder?.beginCall();
    expect(closed).to.deep.equal([]);
    probe?.beginCall();
    expect(closed).to.deep.equal(["hoarder evicted"]);
    end?.();
    const other = open("other");
    for (let calls = 0; calls < 2999; calls++) other?.beginCall();
    expect(closed, "what was under way on it counts no more").to.have.length(1);
    other?.beginCall();
    expect(closed).to.deep.equal(["hoarder evicted", "other evicted"]);
  });

  it("closes connections that are not ready for a first call in time", () => {
    open("slow");
    open("ready")?.ready();
    clock.advance(14_999);
    expect(closed).to.deep.equal([]);
    clock.advance(1);
    expect(closed).to.deep.equal(["slow not-ready"]);
  });

  it("closes idle unauthenticated connections, and never authenticated ones", () => {
    const [probed, used] = ["probed", "used"].map((name) => open(name));
    probed?.ready();
    used?.ready();
    used?.authenticated();
    clock.advance(50_000);
    const end = probed?.beginCall();
    clock.advance(3_600_000);
    expect(closed, "a call is under way").to.deep.equal([]);
    end?.();
    clock.advance(59_999);
    expect(closed).to.deep.equal([]);
    clock.advance(1);
    expect(closed).to.deep.equal(["probed unused"]);
    clock.advance(24 * 3_600_000);
    expect([closed.length, connections.size]).to.deep.equal([1, 1]);
  });

  it("retains nothing after they close, timers included", () => {
    const all = ["a", "b", "c"].map((name) => open(name));
    all[0]?.authenticated();
    const end = all[1]?.beginCall();
    for (const one of all) one?.closed();
    end?.();
    for (const one of all) one?.authenticated();
    expect([connections.size, connections.unauthenticated, clock.pendingTimers]).to.deep.equal([0, 0, 0]);
    expect(connections.find("10.0.0.1:1")).to.equal(undefined);
  });

  it("logs closed connections at most once in ten seconds", () => {
    for (let index = 0; index < 1000; index++) open("flood", "10.9.9.9");
    clock.advance(10_000);
    open("flood", "10.9.9.9");
    expect(log.records().map(({ reason, address, closed: count }) => [reason, address, count])).to.deep.equal(
      [
        ["evicted", "10.9.9.9", 1],
        ["evicted", "10.9.9.9", 997],
      ],
    );
    expect(connections.closed.evicted).to.equal(998);
  });
});

describe("addressPrefix", () => {
  for (const [address, prefix] of [
    ["10.1.2.3", "10.1.2.3"],
    ["::ffff:10.1.2.3", "10.1.2.3"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:0DB8:0001:0002::1", "2001:db8:1:2::/64"],
    ["2001:db8::1", "2001:db8:0:0::/64"],
    ["fe80::1%eth0", "fe80:0:0:0::/64"],
    ["::1", "0:0:0:0::/64"],
    ["64:ff9b::10.1.2.3", "64:ff9b:0:0::/64"],
  ] as const) {
    it(`is ${prefix} for ${address}`, () => {
      expect(addressPrefix(address)).to.equal(prefix);
    });
  }
});
