import { setImmediate as turn } from "node:timers/promises";
import { expect } from "chai";
import { SharedRounds } from "../src/shared-rounds.ts";
import { FakeClock } from "./support/fake-clock.ts";
import { randomFor } from "./support/seed.ts";

type Setup = Omit<ConstructorParameters<typeof SharedRounds>[0], "take" | "send">;

/** Rounds of numbered requests. */
class Stage {
  /** The requests of each round, in the order in which the rounds were sent. */
  readonly sent: number[][] = [];
  readonly waiting: number[] = [];
  readonly rounds: SharedRounds<number[]>;
  /** Called when a round is sent. */
  onSend = (_group: number[]) => {};
  #requests = 0;

  /** `room` is the largest size of a round. */
  constructor(options: Setup = {}, { room = Number.POSITIVE_INFINITY }: { room?: number } = {}) {
    this.rounds = new SharedRounds<number[]>({
      ...options,
      take: () => (this.waiting.length === 0 ? undefined : this.waiting.splice(0, room)),
      send: (group) => {
        this.sent.push(group);
        this.onSend(group);
      },
    });
  }

  get requests(): number {
    return this.#requests;
  }

  request(count = 1): void {
    for (let made = 0; made < count; made++) {
      this.waiting.push(++this.#requests);
      this.rounds.requested();
    }
  }
}

describe("SharedRounds", () => {
  it("sends the first request at once, and together all that come while it is in flight", () => {
    const stage = new Stage();
    stage.request(3);
    const early = [...stage.sent];
    stage.rounds.ended();
    expect([early, stage.sent, stage.rounds.isBusy]).to.deep.equal([[[1]], [[1], [2, 3]], true]);
    stage.rounds.ended();
    expect([stage.sent, stage.rounds.isBusy]).to.deep.equal([[[1], [2, 3]], false]);
  });

  it("leaves to a later round what does not fit into the next one", () => {
    const stage = new Stage({}, { room: 2 });
    stage.request(4);
    stage.rounds.ended();
    stage.rounds.ended();
    expect(stage.sent).to.deep.equal([[1], [2, 3], [4]]);
  });

  it("does not count a request that is made while its round is being sent among that round's", () => {
    const stage = new Stage();
    stage.onSend = () => {
      if (stage.requests < 3) stage.request();
    };
    stage.request();
    stage.rounds.ended();
    expect(stage.sent).to.deep.equal([[1], [2]]);
  });

  it("waits for a turn without a request, for so many turns at most, and after a round for none", async () => {
    const stage = new Stage({ maxTurns: 3 });
    stage.request(2);
    await turn();
    const afterBusyTurn = stage.sent.length;
    await turn();
    const afterQuietTurn = stage.sent.length;
    stage.rounds.ended();
    for (let count = 1; count <= 4; count++) {
      stage.request(2);
      await turn();
    }
    const afterBusyTurns = stage.sent.at(-1);
    stage.rounds.ended();
    expect([afterBusyTurn, afterQuietTurn, afterBusyTurns, stage.sent.at(-1)]).to.deep.equal([
      0,
      1,
      [3, 4, 5, 6, 7, 8],
      [9, 10],
    ]);
  });

  it("collects requests for 5 ms at most, if turns are long", async () => {
    const clock = new FakeClock();
    const stage = new Stage({ maxTurns: 100, clock });
    for (let turns = 0; turns < 10; turns++) {
      stage.request(2);
      clock.advance(2);
      await turn();
    }
    // The requests of three turns.
    expect(stage.sent).to.deep.equal([[1, 2, 3, 4, 5, 6]]);
  });

  it("delays the next round by a turn if asked to, so that requests of that turn share it", async () => {
    const stage = new Stage({ maxTurns: 1 });
    stage.request();
    await turn();
    stage.request();
    stage.rounds.ended(1);
    stage.request();
    const before = stage.sent.length;
    await turn();
    expect([before, stage.sent]).to.deep.equal([1, [[1], [2, 3]]]);
  });

  describe("beside slow rounds", () => {
    let clock: FakeClock;
    let stage: Stage;

    beforeEach(() => {
      clock = new FakeClock();
      stage = new Stage({ parallel: { clock, maxInFlight: 3, afterMs: 5 } });
    });

    it("sends further ones, each so long after the one before, up to the maximum", () => {
      const sentAt: number[] = [];
      stage.onSend = () => void sentAt.push(clock.monotonic());
      for (let at = 0; at < 30; at++) {
        stage.request();
        clock.advance(1);
      }
      expect([sentAt, clock.pendingTimers]).to.deep.equal([[0, 5, 10], 0]);
      stage.rounds.ended();
      clock.advance(0);
      expect(sentAt).to.deep.equal([0, 5, 10, 30]);
    });

    it("does not wait where none is in flight, and keeps no timer then", () => {
      stage.request(2);
      clock.advance(1);
      stage.rounds.ended();
      expect([stage.sent, clock.pendingTimers]).to.deep.equal([[[1], [2]], 0]);
    });

    it("sends one at once if it is told to, up to the maximum", () => {
      stage.request();
      for (let count = 0; count < 4; count++) {
        stage.waiting.push(10 + count);
        stage.rounds.sendNext();
      }
      expect(stage.sent).to.deep.equal([[1], [10], [11]]);
    });
  });

  for (const turns of [0, 1, 4]) {
    for (const most of [1, 3]) {
      it(`answers no request by a round from before it, and each once: ${turns} turns, ${most} in flight`, async () => {
        const random = randomFor(`shared rounds ${turns} ${most}`);
        for (let run = 0; run < 20; run++) {
          const broken = await playAtRandom({ turns, most, random });
          expect(broken).to.deep.equal([]);
        }
      });
    }
  }
});

/** Plays requests, turns, time and ends of rounds in random order. Returns what breaks a promise. */
async function playAtRandom({
  turns,
  most,
  random,
}: {
  readonly turns: number;
  readonly most: number;
  readonly random: () => number;
}): Promise<string[]> {
  const broken: string[] = [];
  const clock = new FakeClock();
  const chance = (share: number) => random() < share;
  const room = chance(0.5) ? 3 : Number.POSITIVE_INFINITY;
  const parallel = most === 1 ? {} : { parallel: { clock, maxInFlight: most, afterMs: 5 } };
  const stage = new Stage({ maxTurns: turns, ...parallel }, { room });
  const inFlight: { readonly group: number[]; readonly madeBefore: number }[] = [];
  const answered: number[] = [];
  stage.onSend = (group) => {
    inFlight.push({ group, madeBefore: stage.requests });
    if (inFlight.length > most) broken.push(`${inFlight.length} rounds in flight`);
    if (chance(0.2)) stage.request();
  };
  const end = (index: number, turnsLater?: number) => {
    const [round] = inFlight.splice(index, 1);
    if (round === undefined) return;
    const answer = () => {
      for (const request of round.group) {
        if (request > round.madeBefore) broken.push(`${request} joined a round that had been sent before it`);
        answered.push(request);
      }
    };
    // Some users answer before they call ended, others afterwards.
    const isEarly = chance(0.5);
    if (isEarly) answer();
    stage.rounds.ended(turnsLater);
    if (!isEarly) answer();
  };
  for (let step = 0; step < 100; step++) {
    const choice = random();
    if (choice < 0.5) stage.request();
    else if (choice < 0.75) end(Math.floor(random() * inFlight.length), chance(0.5) ? 1 : undefined);
    else if (choice < 0.9) await turn();
    else clock.advance(Math.floor(random() * 10));
  }
  for (let step = 0; answered.length < stage.requests && step < 1000; step++) {
    await turn();
    end(0);
  }
  for (let request = 1; request <= stage.requests; request++) {
    const count = answered.filter((one) => one === request).length;
    if (count !== 1) broken.push(`${request} was answered ${count} times`);
  }
  return broken;
}
