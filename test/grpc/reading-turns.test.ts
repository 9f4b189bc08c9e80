import { expect } from "chai";
import { describe, it } from "mocha";
import {
  FIRST_TURNS,
  MAX_AUTHENTICATED_TURN_BYTES,
  Reader,
  ReadingTurns,
  type Source,
} from "../../src/grpc/reading-turns.ts";
import { MAX_READERS, MAX_TURN_BYTES, MAX_TURN_CALLS } from "../../src/limits.ts";
import { turn } from "../support/held-store.ts";
import { until } from "../support/until.ts";

/** A connection whose peer has sent this much, read in steps. */
class Peer implements Source {
  bytesRead = 0;
  isReading = true;
  turns = 0;
  flooded = 0;
  readonly reader: Reader;

  constructor(turns: ReadingTurns) {
    const flooded = () => {
      this.flooded++;
      this.reader.closed();
    };
    this.reader = new Reader(this, {
      turns: { unauthenticated: turns, authenticated: new ReadingTurns() },
      closeAsFlooding: flooded,
    });
  }

  readStart(): void {
    if (!this.isReading) this.turns++;
    this.isReading = true;
  }

  readStop(): void {
    this.isReading = false;
  }
}

function total(peers: readonly Peer[]): number {
  return peers.reduce((sum, { turns }) => sum + turns, 0);
}

describe("turns of reading", () => {
  it("are taken by few at a time, and by each in the end", async () => {
    const turns = new ReadingTurns();
    const peers = Array.from({ length: 10 * MAX_READERS }, () => new Peer(turns));
    let most = 0;
    await until(
      () => {
        const reading = peers.filter(({ isReading }) => isReading);
        most = Math.max(most, reading.length);
        for (const { reader } of reading) reader.callBegun();
        return peers.every((peer) => peer.turns >= 3);
      },
      { withinMs: 20_000, what: "each connection had three turns" },
    );
    expect(most)
      .to.be.at.least(1)
      .and.at.most(MAX_READERS + 1);
    for (const { reader } of peers) reader.closed();
  });

  it("end with a call, until the next turn", async () => {
    const peer = new Peer(new ReadingTurns());
    expect(peer.isReading).to.equal(false);
    await until(() => peer.isReading, { withinMs: 1000, what: "the connection has its turn" });
    peer.reader.callBegun();
    expect(peer.isReading).to.equal(false);
    await until(() => peer.isReading, { withinMs: 1000, what: "the connection has its next turn" });
    peer.reader.closed();
  });

  it("end with bytes that are no call", async () => {
    const peer = new Peer(new ReadingTurns());
    await until(() => peer.isReading, { withinMs: 1000, what: "the connection has its turn" });
    peer.bytesRead += 1000;
    await until(() => peer.turns === 2, { withinMs: 1000, what: "the connection has its next turn" });
    expect(peer.flooded).to.equal(0);
    peer.reader.closed();
  });

  it("come to a new connection although many others are silent or send all the time", async () => {
    const turns = new ReadingTurns();
    const others = Array.from({ length: 1500 }, () => new Peer(turns));
    const sending = setInterval(() => {
      for (const { reader, isReading } of others.slice(0, 100)) if (isReading) reader.callBegun();
    }, 1);
    try {
      const hadFirst = ({ turns }: Peer) => turns >= FIRST_TURNS;
      await until(() => others.every(hadFirst), {
        withinMs: 20_000,
        what: "all connections had their first turn",
      });
      const before = total(others);
      const added = new Peer(turns);
      for (let turn = 1; turn <= 3; turn++) {
        await until(() => added.turns >= turn, {
          withinMs: 5000,
          what: "the new connection has its turn",
        });
        added.reader.endTurn();
      }
      // One round of all of them is 1500.
      expect(total(others) - before).to.be.below(500);
      added.reader.closed();
    } finally {
      clearInterval(sending);
      for (const { reader } of others) reader.closed();
    }
  });

  it("are none of a known caller's, whose connection is read at any time", async () => {
    const peer = new Peer(new ReadingTurns());
    peer.reader.authenticated();
    expect(peer.isReading).to.equal(true);
    for (let calls = 0; calls < 10 * MAX_TURN_CALLS; calls++) peer.reader.callBegun();
    peer.bytesRead += 10 * MAX_TURN_BYTES;
    for (let times = 0; times < 20; times++) await turn();
    expect([peer.isReading, peer.flooded]).to.deep.equal([true, 0]);
  });

  it("are none of a known caller's, but it pauses for others after a read or two, also of frames that are ignored", async () => {
    const peer = new Peer(new ReadingTurns());
    peer.reader.authenticated();
    const reads = [
      (bytes: number) => {
        peer.bytesRead += 2 * bytes;
        peer.reader.callBegun();
      },
      (bytes: number) => peer.reader.received(bytes),
    ];
    for (const read of reads) {
      read(MAX_TURN_BYTES - 1);
      expect(peer.isReading).to.equal(true);
      read(1);
      expect(peer.isReading).to.equal(false);
      await turn();
      expect(peer.isReading).to.equal(true);
    }
  });

  it("are taken by a known caller's connection while calls are late with their messages, and for a while after", async () => {
    const peer = new Peer(new ReadingTurns());
    const { reader } = peer;
    reader.authenticated();
    reader.lateMessageFound();
    expect([peer.isReading, reader.needsTurns]).to.deep.equal([false, true]);
    // What is refused on unauthenticated connections is not refused to a client whose message was lost on its way.
    for (let calls = 0; calls <= MAX_TURN_CALLS; calls++) reader.callBegun();
    await until(() => peer.isReading, { withinMs: 1000, what: "the connection has its turn" });
    peer.bytesRead += 2 * MAX_TURN_BYTES;
    reader.received(1);
    expect([peer.isReading, peer.flooded]).to.deep.equal([false, 0]);
    reader.lateMessageResolved();
    reader.endTurn();
    expect([peer.isReading, reader.needsTurns]).to.deep.equal([false, true]);
    await until(() => !reader.needsTurns, { withinMs: 5000, what: "the while is over" });
    await until(() => peer.isReading, { withinMs: 1000, what: "the connection has its turn" });
    reader.endTurn();
    expect(peer.isReading).to.equal(true);
  });

  it("are taken by a known caller's connection that receives much beside calls, which closes it if it goes on", async () => {
    const peer = new Peer(new ReadingTurns());
    const { reader } = peer;
    reader.authenticated();
    // Messages, with their overhead.
    peer.bytesRead += MAX_TURN_BYTES - 1;
    reader.received(MAX_TURN_BYTES - 1);
    reader.checkInputWithoutEvents();
    expect([peer.isReading, reader.needsTurns]).to.deep.equal([true, false]);
    peer.bytesRead += MAX_TURN_BYTES;
    reader.checkInputWithoutEvents();
    expect([peer.isReading, reader.needsTurns]).to.deep.equal([false, true]);
    await until(() => peer.isReading, { withinMs: 1000, what: "the connection has its turn" });
    peer.bytesRead += MAX_AUTHENTICATED_TURN_BYTES + 1;
    await until(() => peer.flooded === 1, { withinMs: 1000, what: "the connection is closed" });
  });

  it("know the caller of a connection while it has one only", () => {
    const { reader } = new Peer(new ReadingTurns());
    const callers = ["a", "a", "b", "a"].map((name) => {
      const before = reader.caller;
      reader.callOf(name);
      return before;
    });
    expect([...callers, reader.caller]).to.deep.equal([undefined, "a", "a", undefined, undefined]);
  });

  it("pause while further calls of a connection would be refused", async () => {
    const peer = new Peer(new ReadingTurns());
    peer.reader.authenticated();
    peer.reader.pauseAfterRefusal();
    peer.reader.pauseAfterRefusal();
    await turn();
    expect(peer.isReading).to.equal(false);
    await until(() => peer.isReading, { withinMs: 5000, what: "it is read again" });
  });

  it("pause after several calls have been refused for lack of room", async () => {
    const peer = new Peer(new ReadingTurns());
    peer.reader.authenticated();
    for (let refused = 0; refused < 3; refused++) peer.reader.refusedForRoom();
    await until(() => peer.isReading, { withinMs: 1000, what: "the connection has its turn" });
    expect(peer.reader.hasManyLateMessages).to.equal(false);
    // A completed request makes up for a refused call.
    peer.reader.requestCompleted();
    peer.reader.refusedForRoom();
    expect(peer.reader.hasManyLateMessages).to.equal(false);
    peer.reader.refusedForRoom();
    expect({ isReading: peer.isReading, hasManyLateMessages: peer.reader.hasManyLateMessages }).to.deep.equal(
      {
        isReading: false,
        hasManyLateMessages: true,
      },
    );
    await until(() => peer.isReading && !peer.reader.hasManyLateMessages, {
      withinMs: 5000,
      what: "they are forgotten",
    });
  });

  it("are taken from a connection that begins more calls in one than may be open", async () => {
    const peer = new Peer(new ReadingTurns());
    await until(() => peer.isReading, { withinMs: 1000, what: "the connection has its turn" });
    for (let calls = 0; calls < MAX_TURN_CALLS; calls++) peer.reader.callBegun();
    expect(peer.flooded).to.equal(0);
    peer.reader.callBegun();
    expect(peer.flooded).to.equal(1);
  });

  it("stop what is read outside of them, and do not count its calls together", async () => {
    const turns = new ReadingTurns();
    const peer = new Peer(turns);
    // As Node.js does after each write that did not complete at once.
    for (let writes = 0; writes < 4; writes++) {
      peer.isReading = true;
      for (let calls = 0; calls < MAX_TURN_CALLS / 2; calls++) peer.reader.callBegun();
      expect([peer.isReading, peer.flooded]).to.deep.equal([false, 0]);
      await turn();
      await turn();
    }
    peer.reader.closed();
  });

  it("are taken from a connection that sends much in one, and no call", async () => {
    const peer = new Peer(new ReadingTurns());
    await until(() => peer.isReading, { withinMs: 1000, what: "the connection has its turn" });
    peer.bytesRead += MAX_TURN_BYTES + 1;
    await until(() => peer.flooded === 1, { withinMs: 1000, what: "the connection is closed" });
  });
});
