import { Metadata } from "@grpc/grpc-js";
import { ParentBasedSampler, TraceIdRatioBasedSampler } from "@opentelemetry/sdk-trace-node";
import { expect } from "chai";
import type { Observer } from "../../src/blacklist/observer.ts";
import { type CallSpans, openTracing, type Tracing } from "../../src/tracing/call-spans.ts";
import { endCall, MethodSpans } from "../../src/tracing/method-spans.ts";
import { MAX_SPAN_LINKS, SharedSpans } from "../../src/tracing/shared-spans.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { type RecordedSpans, recordSpans } from "../support/recorded-spans.ts";
import { UNOBSERVED } from "../support/unobserved.ts";

const PATH = "/tokenblacklist.v1.TokenBlacklist/IsBlacklisted";
const CALL = PATH.slice(1);
const SAMPLED = "01";
const UNSAMPLED = "00";

describe("SharedSpans", () => {
  let clock: FakeClock;
  let recorded: RecordedSpans;
  let tracing: Tracing;
  let observer: Observer;
  let calls: number;

  beforeEach(() => {
    clock = new FakeClock();
    // Calls without a trace are not recorded.
    recorded = recordSpans({ sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(0) }) });
    tracing = openTracing({ clock, version: "1" }) as Tracing;
    observer = new SharedSpans(UNOBSERVED, tracing);
    calls = 0;
  });
  afterEach(() => recorded.stop());

  function call(flags = SAMPLED): CallSpans | undefined {
    const metadata = new Metadata();
    const id = (++calls).toString(16).padStart(16, "0");
    metadata.set("traceparent", `00-${id.padStart(32, "a")}-${id}-${flags}`);
    return new MethodSpans(PATH, tracing).begin(metadata);
  }

  interface TestSharing {
    readonly caller?: { isGone: boolean; trace: CallSpans | undefined };
  }

  function waiting(flags?: string): TestSharing {
    const trace = call(flags);
    trace?.waits("freshness");
    return { caller: { isGone: false, trace } };
  }

  function end({ caller }: TestSharing): void {
    if (caller?.trace) endCall(caller.trace, { code: "OK", reason: undefined, peer: "" });
  }

  /** Parents and links by name: of each span its trace's number, its parent and its links. */
  function tree() {
    const spans = recorded.take();
    const nameOf = (id: string | undefined) => {
      const found = spans.find((span) => span.id === id);
      return found === undefined ? "outside" : `${found.name} ${Number.parseInt(found.trace.slice(-16), 16)}`;
    };
    return spans.map(({ id, parent, links }) => [nameOf(id), nameOf(parent), ...links.map(nameOf)]);
  }

  it("are children of the first sharing call's wait, and linked with the others in both directions", () => {
    const participants = [waiting(), {}, waiting(), waiting()];
    clock.advance(3);
    observer.followed({ participants, milliseconds: 2, end: "proven" });
    participants.forEach(end);
    expect(tree()).to.deep.equal([
      ["read changes 1", "wait for freshness 1", "wait for freshness 2", "wait for freshness 3"],
      ["wait for freshness 1", `${CALL} 1`],
      ["wait for freshness 2", `${CALL} 2`, "read changes 1"],
      ["wait for freshness 3", `${CALL} 3`, "read changes 1"],
      [`${CALL} 1`, "outside"],
      [`${CALL} 2`, "outside"],
      [`${CALL} 3`, "outside"],
    ]);
  });

  it("record the number of sharing calls, within the wait and with its duration", () => {
    const first = waiting();
    clock.advance(3);
    // A change of the wall clock meanwhile has no effect.
    const began = clock.now() - 3;
    observer.followed({ participants: [first, {}], milliseconds: 2, end: "proven" });
    const [read] = recorded.take();
    expect([read?.attributes, read?.status, read?.start, read?.end]).to.deep.equal([
      { "tokenblacklist.sharing": 2, "tokenblacklist.read.end": "proven" },
      "UNSET",
      began + 1,
      began + 3,
    ]);
    end(first);
  });

  it("are one for each read of full pages, and the wait continues until the last", () => {
    const first = waiting();
    observer.followed({ participants: [first], milliseconds: 1, end: "more" });
    observer.followed({ participants: [first], milliseconds: 1, end: "proven" });
    end(first);
    expect(tree().map(([name]) => name)).to.deep.equal([
      "read changes 1",
      "read changes 1",
      "wait for freshness 1",
      `${CALL} 1`,
    ]);
  });

  it("have a limited number of links", () => {
    const participants = Array.from({ length: MAX_SPAN_LINKS * 2 }, () => waiting());
    observer.followed({ participants, milliseconds: 1, end: "proven" });
    const spans = recorded.take();
    const read = spans.find(({ name }) => name === "read changes");
    expect([read?.links.length, read?.attributes["tokenblacklist.sharing"]]).to.deep.equal([
      MAX_SPAN_LINKS,
      MAX_SPAN_LINKS * 2,
    ]);
    // Each still links to the span that it shared.
    const waits = spans.filter(({ name }) => name === "wait for freshness");
    expect(
      waits.filter(({ links, parent }) => links[0] === read?.id || parent === undefined).length,
    ).to.equal(MAX_SPAN_LINKS * 2 - 1);
    participants.forEach(end);
  });

  it("are recorded only if a sharing call is", () => {
    const [unsampled, sampled] = [waiting(UNSAMPLED), waiting()];
    observer.committed({ participants: [unsampled], milliseconds: 1, results: [] });
    observer.lookedUp({ participants: [{}], milliseconds: 1, succeeded: true });
    expect(recorded.take()).to.deep.equal([]);
    observer.lookedUp({ participants: [waiting(UNSAMPLED), sampled], milliseconds: 1, succeeded: true });
    end(sampled);
    expect(tree()).to.deep.equal([
      ["look up jtis 2", "wait for freshness 2"],
      ["wait for freshness 2", `${CALL} 2`],
      [`${CALL} 2`, "outside"],
    ]);
  });

  it("record failures, after which calls that shared a commit continue to wait, since it may be retried", () => {
    const [first, second] = [waiting(), waiting()];
    observer.committed({ participants: [first, second], milliseconds: 1, results: undefined });
    observer.committed({ participants: [second], milliseconds: 1, results: [] });
    const shown = recorded
      .take()
      .map(({ name, status, attributes }) => [name, status, attributes["error.type"]]);
    expect(shown).to.deep.equal([
      ["commit", "ERROR", "failed"],
      ["commit", "UNSET", undefined],
      ["wait for freshness", "UNSET", undefined],
    ]);
    for (const endOf of ["failed", "lost", "read-only"] as const) {
      observer.followed({ participants: [first], milliseconds: 1, end: endOf });
      first.caller?.trace?.waits("freshness");
    }
    const failed = recorded.take().filter(({ name }) => name === "read changes");
    expect(failed.map(({ status, attributes }) => [status, attributes["error.type"]])).to.deep.equal([
      ["ERROR", "failed"],
      ["ERROR", "lost"],
      ["ERROR", "read-only"],
    ]);
    for (const one of [first, second]) end(one);
  });

  it("pass every event on to the next observer", () => {
    const told: string[] = [];
    const counting = Object.fromEntries(
      Object.keys(UNOBSERVED).map((name) => [
        name,
        (what: unknown) => told.push(`${name} ${Object(what) === what}`),
      ]),
    ) as unknown as Observer;
    const both = new SharedSpans(counting, tracing);
    both.committed({ participants: [], milliseconds: 1, results: [] });
    both.followed({ participants: [], milliseconds: 1, end: "proven" });
    both.lookedUp({ participants: [], milliseconds: 1, succeeded: true });
    both.fellBack("no-index");
    both.pruned(1);
    both.pruneEnded({ at: clock.now(), succeeded: true });
    both.startedOver();
    expect(told).to.deep.equal([
      "committed true",
      "followed true",
      "lookedUp true",
      "fellBack false",
      "pruned false",
      "pruneEnded true",
      "startedOver false",
    ]);
  });
});

describe("openTracing", () => {
  it("returns undefined unless a provider is registered", async () => {
    const clock = new FakeClock();
    expect(openTracing({ clock, version: "1" })).to.equal(undefined);
    const recorded = recordSpans();
    expect(openTracing({ clock, version: "1" })).not.to.equal(undefined);
    // The look-up leaves no span behind.
    expect(recorded.take()).to.deep.equal([]);
    await recorded.stop();
    expect(openTracing({ clock, version: "1" })).to.equal(undefined);
  });
});
