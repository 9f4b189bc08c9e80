import { Server, ServerCredentials } from "@grpc/grpc-js";
import { expect } from "chai";
import { TokenBlacklist } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { Admission } from "../../src/admission/admission.ts";
import { authenticatedMethod } from "../../src/grpc/authenticated-service.ts";
import { IncomingCalls } from "../../src/grpc/incoming-call.ts";
import { TOKEN_BLACKLIST_RULES } from "../../src/grpc/methods.ts";
import { serveUnary } from "../../src/grpc/unary-call.ts";
import { methodDefinition, serviceDefinition } from "../../src/protobuf/service-definition.ts";
import { systemClock } from "../../src/time/clock.ts";
import { openTracing } from "../../src/tracing/call-spans.ts";
import { callEnvironment } from "../support/call-environment.ts";
import { methodPath, RawChannel } from "../support/raw-channel.ts";
import { type RecordedSpans, recordSpans } from "../support/recorded-spans.ts";

describe("the spans of calls", () => {
  let recorded: RecordedSpans;
  let server: Server;
  let channel: RawChannel;
  let admission: Admission;
  let answer: () => Promise<never>;

  beforeEach(async () => {
    recorded = recordSpans();
    admission = new Admission();
    const environment = callEnvironment({
      clock: systemClock,
      admission,
      tracing: openTracing({ clock: systemClock, version: "1" }),
    });
    const incoming = new IncomingCalls({ clock: systemClock, connectionOf: () => undefined });
    server = new Server({ interceptors: [incoming.interceptor] });
    const { isBlacklisted } = TokenBlacklist.method;
    const definition = serviceDefinition(TokenBlacklist);
    const rules = TOKEN_BLACKLIST_RULES.isBlacklisted;
    const method = { ...authenticatedMethod(isBlacklisted, rules, environment), handler: () => answer() };
    const { handle, createAdmission } = serveUnary(method);
    incoming.add(methodDefinition(isBlacklisted).path, { maxBytes: 1024, createAdmission });
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
      code: attributes["rpc.response.status_code"],
      reason: attributes["tokenblacklist.reason"],
    }));

  it("are created even for calls that are refused at once", async () => {
    void admission.drain();
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
    while (admission.active === 0) await new Promise(setImmediate);
    call.cancel();
    await call.answer;
    let spans = ended();
    while (spans.length === 0) {
      await new Promise(setImmediate);
      spans = ended();
    }
    fail();
    while (admission.active > 0) await new Promise(setImmediate);
    expect([...spans, ...ended()]).to.deep.equal([
      { status: "UNSET", parent: undefined, code: "CANCELLED", reason: undefined },
    ]);
  });
});
