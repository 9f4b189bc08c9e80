import { Server, ServerCredentials } from "@grpc/grpc-js";
import { expect } from "chai";
import { TokenBlacklist } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { Admission } from "../../src/admission/admission.ts";
import { CallerValidity } from "../../src/auth/caller-validity.ts";
import { IncomingCalls } from "../../src/grpc/incoming-call.ts";
import { type CallEnvironment, unary } from "../../src/grpc/unary.ts";
import { LogSampling } from "../../src/logging/log-sampling.ts";
import { Metrics } from "../../src/metrics/metrics.ts";
import { UNRESTRICTED_PRINCIPAL } from "../../src/principal.ts";
import { methodDefinition, serviceDefinition } from "../../src/protobuf/service-definition.ts";
import { systemClock } from "../../src/time/clock.ts";
import { openTracing } from "../../src/tracing/tracing.ts";
import { memoryLog } from "../support/memory-log.ts";
import { methodPath, RawChannel } from "../support/raw-channel.ts";
import { type RecordedSpans, recordSpans } from "../support/recorded-spans.ts";

describe("the spans of calls", () => {
  let recorded: RecordedSpans;
  let server: Server;
  let channel: RawChannel;
  let calls: Admission;
  let answer: () => Promise<never>;

  beforeEach(async () => {
    recorded = recordSpans();
    calls = new Admission();
    const environment: CallEnvironment = {
      log: memoryLog().log,
      sampling: new LogSampling(systemClock),
      auditLog: undefined,
      authenticate: () => UNRESTRICTED_PRINCIPAL,
      callers: new CallerValidity(() => systemClock.now()),
      clock: systemClock,
      calls,
      connections: { authenticated() {} },
      metrics: new Metrics({ version: "1", node: "v1", schema: 1 }),
      tracing: openTracing({ clock: systemClock, version: "1" }),
    };
    const incoming = new IncomingCalls(systemClock);
    server = new Server({ interceptors: [incoming.interceptor] });
    const { isBlacklisted } = TokenBlacklist.method;
    const definition = serviceDefinition(TokenBlacklist);
    const options = { ...environment, role: "check", quiet: true, maxBytes: 1024 } as const;
    const { handle, rules } = unary(isBlacklisted, () => answer(), options);
    incoming.add(methodDefinition(isBlacklisted).path, rules);
    server.addService(definition, { isBlacklisted: handle });
    const port = await new Promise<number>((resolve, reject) => {
      const credentials = ServerCredentials.createInsecure();
      server.bindAsync("127.0.0.1:0", credentials, (error, bound) =>
        error ? reject(error) : resolve(bound),
      );
    });
    channel = new RawChannel(`127.0.0.1:${port}`);
  });
  afterEach(async () => {
    channel.close();
    server.forceShutdown();
    await recorded.stop();
  });

  const ended = () =>
    recorded.take().map(({ status, parent, attributes }) => ({
      status,
      parent,
      code: attributes["rpc.status_code"],
      reason: attributes["tokenblacklist.reason"],
    }));

  it("are created even for calls that are refused at once", async () => {
    void calls.drain();
    await channel.call(methodPath("IsBlacklisted"), new Uint8Array());
    expect(ended()).to.deep.equal([
      { status: "ERROR", parent: undefined, code: "UNAVAILABLE", reason: "DRAINING" },
    ]);
  });

  it("record the status of an unexpected error", async () => {
    answer = async () => {
      throw new Error("c4n4ry");
    };
    await channel.call(methodPath("IsBlacklisted"), new Uint8Array());
    expect(ended()).to.deep.equal([
      { status: "ERROR", parent: undefined, code: "INTERNAL", reason: "INTERNAL" },
    ]);
  });

  it("end once, with the deadline", async () => {
    let fail = () => {};
    answer = () =>
      new Promise<never>((_, reject) => {
        fail = () => reject(new Error("too late"));
      });
    const call = channel.begin(methodPath("IsBlacklisted"), new Uint8Array());
    while (calls.active === 0) await new Promise(setImmediate);
    call.cancel();
    await call.answer;
    let spans = ended();
    while (spans.length === 0) {
      await new Promise(setImmediate);
      spans = ended();
    }
    fail();
    while (calls.active > 0) await new Promise(setImmediate);
    expect([...spans, ...ended()]).to.deep.equal([
      { status: "UNSET", parent: undefined, code: "CANCELLED", reason: undefined },
    ]);
  });
});
