import type { ServerHttp2Stream } from "node:http2";
import { Duplex } from "node:stream";
import { expect } from "chai";
import { describe, it } from "mocha";
import { CallSlices } from "../../src/grpc/call-slices.ts";
import { CALL_SLICE_MS } from "../../src/limits.ts";
import { until } from "../support/until.ts";

class Source {
  readonly name: string;
  holds = 0;
  released = 0;

  constructor(name: string) {
    this.name = name;
  }

  pauseReading(): void {
    this.holds++;
  }

  resumeReading(): void {
    this.released++;
  }
}

function stream(): ServerHttp2Stream {
  return new Duplex() as ServerHttp2Stream;
}

/** Keeps the processor busy, like the beginning of a call. */
function work(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

describe("calls that begin in slices", () => {
  it("begin at once while there are few", () => {
    const begun: string[] = [];
    const slices = new CallSlices((_, { name }) => void begun.push(String(name)));
    const source = new Source("a");
    for (const name of ["1", "2", "3"]) slices.add(source, stream(), { name });
    expect({ begun, holds: source.holds }).to.deep.equal({ begun: ["1", "2", "3"], holds: 0 });
  });

  it("leave time to other work after each slice, however many come at once, and begin all", async () => {
    let begun = 0;
    const slices = new CallSlices(() => {
      begun++;
      work(1);
    });
    const source = new Source("a");
    let longest = 0;
    let before = 0;
    for (let call = 0; call < 60; call++) slices.add(source, stream(), {});
    expect(begun).to.be.at.most(CALL_SLICE_MS + 1);
    await until(
      () => {
        longest = Math.max(longest, begun - before);
        before = begun;
        return begun === 60;
      },
      { withinMs: 10_000, what: "all calls have begun" },
    );
    expect(longest).to.be.below(30);
    expect({ holds: source.holds, released: source.released }).to.deep.equal({ holds: 1, released: 1 });
  });

  it("begin by turns of their connections, those of each in their order", async () => {
    const begun: string[] = [];
    const slices = new CallSlices((_, { name }) => {
      begun.push(String(name));
      work(2);
    });
    const [many, few] = [new Source("many"), new Source("few")];
    for (let call = 0; call < 20; call++) slices.add(many, stream(), { name: `many ${call}` });
    for (let call = 0; call < 3; call++) slices.add(few, stream(), { name: `few ${call}` });
    await until(() => begun.length === 23, { withinMs: 10_000, what: "all calls have begun" });
    const of = (source: string) => begun.filter((name) => name.startsWith(source));
    expect(of("many")).to.deep.equal(Array.from({ length: 20 }, (_, call) => `many ${call}`));
    expect(of("few")).to.deep.equal(["few 0", "few 1", "few 2"]);
    expect(begun.indexOf("few 2")).to.be.below(12);
  });

  it("begin by turns of more connections than one slice reaches", async () => {
    const begun: string[] = [];
    const slices = new CallSlices((_, { name }) => {
      begun.push(String(name));
      work(CALL_SLICE_MS / 2);
    });
    for (let index = 0; index < 10; index++) {
      const source = new Source(String(index));
      for (let call = 0; call < 10; call++) slices.add(source, stream(), { name: "many" });
    }
    slices.add(new Source("few"), stream(), { name: "few" });
    await until(() => begun.length === 101, { withinMs: 10_000, what: "all have begun" });
    expect(begun.indexOf("few")).to.be.below(20);
  });

  it("do not begin if they end before their turn", async () => {
    const begun: string[] = [];
    const slices = new CallSlices((_, { name }) => {
      begun.push(String(name));
      work(CALL_SLICE_MS);
    });
    const source = new Source("a");
    const ended = stream();
    slices.add(source, stream(), { name: "first" });
    slices.add(source, ended, { name: "ended" });
    slices.add(source, stream(), { name: "last" });
    ended.destroy(new Error("reset by its client"));
    await until(() => begun.includes("last"), { withinMs: 5000, what: "the last call has begun" });
    expect(begun).to.deep.equal(["first", "last"]);
  });
});
