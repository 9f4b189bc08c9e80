import { join } from "node:path";
import { context, propagation, ROOT_CONTEXT, TraceFlags, trace } from "@opentelemetry/api";
import { ParentBasedSampler, TraceIdRatioBasedSampler } from "@opentelemetry/sdk-trace-node";
import { expect } from "chai";
import { Verdict } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { connect } from "../../src/client/connect.ts";
import { Asker } from "../support/asker.ts";
import { ask } from "../support/http-ask.ts";
import { methodPath, RawChannel } from "../support/raw-channel.ts";
import { type RecordedSpans, recordSpans, type ShownSpan } from "../support/recorded-spans.ts";
import { rejection } from "../support/rejection.ts";
import { YEAR_2100 } from "../support/revoke.ts";
import { type RunningService, startService } from "../support/service.ts";
import { freshDatabase, freshFolder } from "../support/shared.ts";
import { until } from "../support/until.ts";
import { Watcher } from "../support/watcher.ts";

const SERVICE = "tokenblacklist.v1.TokenBlacklist";
const TRACE = "a".repeat(32);
const CALLER = "b".repeat(16);
const SAMPLED = { metadata: { traceparent: `00-${TRACE}-${CALLER}-01` } };
const UNSAMPLED = { metadata: { traceparent: `00-${TRACE}-${CALLER}-00` } };
/** In every field set by a caller. */
const CANARY = "c4n4ry";
const tokens = (...jtis: string[]) =>
  jtis.map((value) => ({ token: { case: "jti" as const, value }, expiresAt: YEAR_2100, reason: CANARY }));

describe("a traced service", () => {
  const stops: (() => unknown)[] = [];
  let recorded: RecordedSpans;

  beforeEach(() => {
    // Calls without a trace, such as those of the test itself, are excluded.
    recorded = recordSpans({ sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(0) }) });
    stops.push(() => recorded.stop());
  });
  afterEach(async () => {
    for (const stop of stops.splice(0).reverse()) await stop();
  });

  async function serve(env: Record<string, string> = {}, url?: string): Promise<RunningService> {
    const running = await startService({
      url: url ?? `sqlite:${join(await freshFolder(), "x.db")}`,
      env: { INDEX: "on", ...env },
    });
    stops.push(() => running.stop());
    return running;
  }

  async function serveFromMemory(env: Record<string, string> = {}): Promise<RunningService> {
    const running = await serve(env);
    await running.indexLoaded();
    return running;
  }

  /** Each span by its name and its parent's. */
  function tree(spans: readonly ShownSpan[]): [name: string, parent: string | undefined][] {
    const nameOf = (id: string | undefined) =>
      id === CALLER ? "the caller" : spans.find((span) => span.id === id)?.name;
    return spans.map(({ name, parent }) => [name, nameOf(parent)]);
  }

  it("records a check below the caller's span: the call, its wait for freshness, and the read that ended it", async () => {
    const { client } = await serveFromMemory();
    await client.isBlacklisted({ jtis: ["a"] }, SAMPLED);
    const spans = recorded.take();
    expect(tree(spans)).to.deep.equal([
      ["read changes", "wait for freshness"],
      ["wait for freshness", `${SERVICE}/IsBlacklisted`],
      [`${SERVICE}/IsBlacklisted`, "the caller"],
    ]);
    expect(new Set(spans.map((span) => span.trace))).to.deep.equal(new Set([TRACE]));
    const shown = spans.map(({ kind, status, attributes: { "network.peer.port": port, ...attributes } }) => {
      if (kind === "SERVER") expect(port).to.be.a("number").above(0);
      const { "tokenblacklist.sharing": participants, ...others } = attributes;
      // A read of the monitor may be included.
      if (participants !== undefined) expect(participants).to.be.oneOf([1, 2]);
      return { kind, status, attributes: others };
    });
    expect(shown).to.deep.equal([
      {
        kind: "INTERNAL",
        status: "UNSET",
        attributes: { "tokenblacklist.read.end": "proven" },
      },
      { kind: "INTERNAL", status: "UNSET", attributes: {} },
      {
        kind: "SERVER",
        status: "UNSET",
        attributes: {
          "rpc.system.name": "grpc",
          "rpc.method": `${SERVICE}/IsBlacklisted`,
          "rpc.response.status_code": "OK",
          "network.peer.address": "127.0.0.1",
        },
      },
    ]);
    for (const { start, end } of spans) expect(end).to.be.at.least(start);
  });

  it("records no wait if there was none", async () => {
    const { client } = await serveFromMemory();
    await client.blacklist({ tokens: tokens("a") });
    await until(
      async () => {
        await client.isBlacklisted({ jtis: ["a"] }, SAMPLED);
        return recorded.take().length === 1;
      },
      { withinMs: 2000, what: "the index has it" },
    );
  });

  it("records a revocation: the call, its wait, and the commit", async () => {
    const { client } = await serveFromMemory();
    await client.blacklist({ tokens: tokens("a", "b") }, SAMPLED);
    const spans = recorded.take();
    expect(tree(spans)).to.deep.equal([
      ["commit", "wait for commit"],
      ["wait for commit", `${SERVICE}/Blacklist`],
      [`${SERVICE}/Blacklist`, "the caller"],
    ]);
    expect(spans[0]?.attributes).to.deep.equal({ "tokenblacklist.sharing": 1, "tokenblacklist.entries": 2 });
  });

  it("records a look-up in the database if there is no index", async () => {
    const { client } = await serve({ INDEX: "off" });
    await client.isBlacklisted({ jtis: ["a"] }, SAMPLED);
    expect(tree(recorded.take())).to.deep.equal([
      ["look up jtis", "wait for look-up"],
      ["wait for look-up", `${SERVICE}/IsBlacklisted`],
      [`${SERVICE}/IsBlacklisted`, "the caller"],
    ]);
  });

  it("continues the trace of a gateway that propagates it as documented", async () => {
    const { address } = await serveFromMemory();
    const blacklist = connect({
      address,
      metadata() {
        const carrier = {};
        propagation.inject(context.active(), carrier);
        return carrier;
      },
    });
    stops.push(() => blacklist.close());
    const parent = { traceId: TRACE, spanId: CALLER, traceFlags: TraceFlags.SAMPLED, isRemote: true };
    const span = trace
      .getTracer("gateway")
      .startSpan("a request", {}, trace.setSpanContext(ROOT_CONTEXT, parent));
    await context.with(trace.setSpan(ROOT_CONTEXT, span), () => blacklist.isBlacklisted("a"));
    span.end();
    expect(tree(recorded.take())).to.deep.equal([
      ["read changes", "wait for freshness"],
      ["wait for freshness", `${SERVICE}/IsBlacklisted`],
      [`${SERVICE}/IsBlacklisted`, "a request"],
      ["a request", "the caller"],
    ]);
  });

  it("links each of many calls with the read or commit that it shared", async () => {
    const database = await freshDatabase();
    stops.push(() => database.dispose());
    const running = await serve({}, database.url);
    await running.indexLoaded();
    const { client } = running;
    await Promise.all(
      Array.from({ length: 60 }, (_, index) =>
        index % 2 === 0
          ? client.isBlacklisted({ jtis: [`jti-${index}`] }, SAMPLED)
          : client.blacklist({ tokens: tokens(`jti-${index}`) }, SAMPLED),
      ),
    );
    const spans = recorded.take();
    for (const [wait, shared] of [
      ["wait for freshness", "read changes"],
      ["wait for commit", "commit"],
    ]) {
      const waits = spans.filter(({ name }) => name === wait);
      const ids = new Set(spans.filter(({ name }) => name === shared).map(({ id }) => id));
      const owners = new Set(spans.filter(({ name }) => name === shared).map(({ parent }) => parent));
      expect(waits.length).to.equal(30);
      // Several calls shared each.
      expect(ids.size).to.be.within(1, 29);
      const unexplained = waits.filter(({ id, links }) => !owners.has(id) && !ids.has(String(links[0])));
      expect(unexplained).to.deep.equal([]);
    }
  });

  it("records how a call failed: as an error if the service is at fault, and with its reason", async () => {
    const away = await startService({ url: "mysql://root@127.0.0.1:1/none", migrated: false });
    stops.push(() => away.stop());
    const { client } = await serveFromMemory();
    const errors = await Promise.all([
      rejection(away.client.isBlacklisted({ jtis: [CANARY] }, SAMPLED)),
      rejection(client.isBlacklisted({ jtis: [] }, SAMPLED)),
    ]);
    expect(errors).to.have.length(2);
    const calls = recorded
      .take()
      .filter(({ kind }) => kind === "SERVER")
      .map(({ status, attributes }) => [
        status,
        ...["rpc.response.status_code", "error.type", "tokenblacklist.reason"].map(
          (name) => attributes[name],
        ),
      ]);
    expect(calls).to.have.deep.members([
      ["ERROR", "UNAVAILABLE", "UNAVAILABLE", "STORE_UNAVAILABLE"],
      ["UNSET", "INVALID_ARGUMENT", undefined, "INVALID_REQUEST"],
    ]);
  });

  it("records a Watch stream when it ends", async () => {
    await recorded.stop();
    recorded = recordSpans();
    stops.push(() => recorded.stop());
    const running = await serveFromMemory();
    const channel = new RawChannel(running.address);
    stops.push(() => channel.close());
    const watcher = Watcher.begin(channel);
    await watcher.sync();
    expect(recorded.take()).to.deep.equal([]);
    watcher.stream.end();
    await watcher.ended;
    const spans = recorded.take();
    expect(
      spans.map(({ name, kind, attributes }) => [name, kind, attributes["rpc.response.status_code"]]),
    ).to.deep.equal([[`${SERVICE}/Watch`, "SERVER", "OK"]]);
  });

  it("records a StreamChecks stream when it ends, without its questions", async () => {
    await recorded.stop();
    recorded = recordSpans();
    stops.push(() => recorded.stop());
    const running = await serveFromMemory();
    const channel = new RawChannel(running.address);
    stops.push(() => channel.close());
    const asker = new Asker(channel);
    expect(await asker.verdicts("a")).to.deep.equal([Verdict.NOT_BLACKLISTED]);
    expect(await asker.verdicts("")).to.equal("INVALID_REQUEST");
    const calls = (spans: ReturnType<typeof recorded.take>) =>
      spans
        .filter(({ kind }) => kind === "SERVER")
        .map(({ name, attributes }) => [name, attributes["rpc.response.status_code"]]);
    expect(calls(recorded.take())).to.deep.equal([]);
    asker.stream.write(Buffer.from([0xff]));
    await asker.ended;
    expect(calls(recorded.take())).to.deep.equal([[`${SERVICE}/StreamChecks`, "INVALID_ARGUMENT"]]);
  });

  it("shows each question on a stream below the span that its metadata names, and none without metadata", async () => {
    const { address } = await serveFromMemory();
    const channel = new RawChannel(address);
    stops.push(() => channel.close());
    const asker = new Asker(channel);
    const other = "c".repeat(16);
    await asker.ask({ jtis: ["a"] }, SAMPLED);
    await asker.ask({ jtis: ["b"] }, { metadata: { traceparent: `00-${TRACE}-${other}-01` } });
    await asker.ask({ jtis: [""] }, SAMPLED);
    await asker.ask({ jtis: ["c"] });
    await asker.ask({ jtis: ["d"] }, { metadata: { constructor: "x", traceparent: CANARY } });
    await asker.done();
    const calls = recorded.take().filter(({ kind }) => kind === "SERVER");
    expect(
      calls.map(({ name, trace, parent, attributes }) => [
        name,
        trace,
        parent,
        attributes["rpc.response.status_code"],
      ]),
    ).to.deep.equal([
      [`${SERVICE}/IsBlacklisted`, TRACE, CALLER, "OK"],
      [`${SERVICE}/IsBlacklisted`, TRACE, other, "OK"],
      [`${SERVICE}/IsBlacklisted`, TRACE, CALLER, "INVALID_ARGUMENT"],
    ]);
  });

  it("records an HTTP authorization request and its wait", async () => {
    const { service } = await serveFromMemory({
      AUTHZ_ADDRESS: "127.0.0.1:0",
      AUTHZ_JTI_HEADER: "X-Token-Id",
    });
    const url = `http://127.0.0.1:${service.authzAddress?.port}/authz`;
    const headers = { "X-Token-Id": CANARY, ...SAMPLED.metadata };
    expect((await ask(url, { headers })).status).to.equal(204);
    const spans = recorded.take();
    expect(tree(spans)).to.deep.equal([
      ["read changes", "wait for freshness"],
      ["wait for freshness", "GET /authz"],
      ["GET /authz", "the caller"],
    ]);
    const { "network.peer.port": _, ...attributes } = spans[2]?.attributes ?? {};
    expect(attributes).to.deep.equal({
      "http.request.method": "GET",
      "http.route": "/authz",
      "url.path": "/authz",
      "url.scheme": "http",
      "http.response.status_code": 204,
      "network.peer.address": "127.0.0.1",
    });
  });

  it("records nothing for a call whose trace is not recorded, and starts no trace of its own", async () => {
    const { client } = await serveFromMemory();
    await client.isBlacklisted({ jtis: ["a"] }, UNSAMPLED);
    await client.blacklist({ tokens: tokens("a") }, UNSAMPLED);
    expect(recorded.take()).to.deep.equal([]);
  });

  it("ignores an invalid trace context", async () => {
    const { client } = await serveFromMemory();
    for (const traceparent of [CANARY, `00-${TRACE}-${CALLER}`, "-", "00-".repeat(2000)]) {
      const metadata = { traceparent, tracestate: CANARY.repeat(100), baggage: `${CANARY}=${CANARY}` };
      expect((await client.isBlacklisted({ jtis: ["a"] }, { metadata })).verdicts).to.have.length(1);
    }
    expect(recorded.take()).to.deep.equal([]);
  });

  it("puts no request data into spans", async () => {
    const { client, address } = await serveFromMemory();
    await client.blacklist({ tokens: tokens(CANARY) }, SAMPLED);
    await client.isBlacklisted({ jtis: [CANARY, `${CANARY}2`] }, SAMPLED);
    await rejection(client.list({ pageToken: CANARY }, SAMPLED));
    await client.list({ revokedBy: CANARY }, SAMPLED);
    const channel = new RawChannel(address);
    await channel.call(methodPath("IsBlacklisted"), Buffer.from(CANARY));
    channel.close();
    const spans = recorded.take();
    expect(spans.length).to.be.at.least(8);
    expect(JSON.stringify(spans)).not.to.include(CANARY);
  });

  it("responds normally if the span processor fails", async () => {
    await recorded.stop();
    const broken: string[] = [];
    const fail = (what: string) => () => {
      broken.push(what);
      throw new Error(what);
    };
    for (const [onStart, onEnd] of [
      [fail("start"), () => {}],
      [() => {}, fail("end")],
    ] as const) {
      const nothing = async () => {};
      let isReady = false;
      recorded = recordSpans({
        processor: {
          onStart: () => isReady && onStart(),
          onEnd,
          forceFlush: nothing,
          shutdown: nothing,
        },
      });
      const { client } = await serveFromMemory();
      isReady = true;
      expect((await client.isBlacklisted({ jtis: ["a"] })).verdicts).to.have.length(1);
      expect((await client.blacklist({ tokens: tokens("a") })).results).to.have.length(1);
      await rejection(client.isBlacklisted({ jtis: [] }));
      expect((await client.isBlacklisted({ jtis: ["b"] })).verdicts).to.have.length(1);
      await recorded.stop();
    }
    expect(new Set(broken)).to.deep.equal(new Set(["start", "end"]));
  });

  it("uses the provider registered at start, and no later one", async () => {
    await recorded.stop();
    const { client } = await serveFromMemory();
    recorded = recordSpans();
    await client.isBlacklisted({ jtis: ["a"] }, SAMPLED);
    await client.blacklist({ tokens: tokens("a") }, SAMPLED);
    expect(recorded.take()).to.deep.equal([]);
  });
});
