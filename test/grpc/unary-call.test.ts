import { create, toBinary } from "@bufbuild/protobuf";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { expect } from "chai";
import {
  IsBlacklistedRequestSchema,
  TokenBlacklist,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { Admission, MAX_CALLS, MAX_UNANSWERED_BYTES } from "../../src/admission/admission.ts";
import { CallerValidity } from "../../src/auth/caller-validity.ts";
import type { Principal } from "../../src/caller.ts";
import { authenticatedMethod } from "../../src/grpc/authenticated-service.ts";
import { IncomingCalls } from "../../src/grpc/incoming-call.ts";
import { TOKEN_BLACKLIST_RULES } from "../../src/grpc/methods.ts";
import { serveUnary } from "../../src/grpc/unary-call.ts";
import { LARGE_REQUEST_BYTES } from "../../src/limits.ts";
import { methodDefinition, serviceDefinition } from "../../src/protobuf/service-definition.ts";
import { callEnvironment } from "../support/call-environment.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { methodPath, RawChannel } from "../support/raw-channel.ts";
import { until } from "../support/until.ts";

describe("calls in flight", () => {
  let admission: Admission;
  let server: Server;
  let channel: RawChannel;
  let authenticate: () => Principal | Promise<Principal>;
  let callerValidity: CallerValidity;
  let clock: FakeClock;
  let waiting: (() => void)[];

  const known = (name: string): Principal => ({ name, roles: new Set(["check"]) });
  const message = (count: number) =>
    Buffer.from(
      toBinary(
        IsBlacklistedRequestSchema,
        create(IsBlacklistedRequestSchema, { jtis: Array.from({ length: count }, () => "j".repeat(250)) }),
      ),
    );

  beforeEach(async () => {
    clock = new FakeClock();
    admission = new Admission();
    waiting = [];
    callerValidity = new CallerValidity(() => clock.now());
    const method = TokenBlacklist.method.isBlacklisted;
    const handler = () =>
      new Promise<object>((resolve) => waiting.push(() => resolve({ verdicts: [], revision: "" })));
    const environment = callEnvironment({
      authenticate: () => authenticate(),
      callerValidity,
      clock,
      admission,
    });
    const rules = TOKEN_BLACKLIST_RULES.isBlacklisted;
    const { handle, createAdmission } = serveUnary({
      ...authenticatedMethod(method, rules, environment),
      handler,
    });
    const incoming = new IncomingCalls({ clock, connectionOf: () => undefined });
    server = new Server({ interceptors: [incoming.interceptor] });
    incoming.add(methodDefinition(method).path, { maxBytes: 300 * 1024, createAdmission });
    server.addService(serviceDefinition(TokenBlacklist), { isBlacklisted: handle });
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      );
    });
    channel = new RawChannel(`127.0.0.1:${port}`);
  });

  afterEach(() => {
    channel.close();
    server.forceShutdown();
  });

  /** Begins a call. Resolves to "waits", or to the code that it ends with. */
  async function begin(name: string, body = message(1)): Promise<string> {
    authenticate = () => known(name);
    const before = waiting.length;
    const { answer } = channel.begin(methodPath("IsBlacklisted"), body);
    let code: string | undefined;
    void answer.then((ended) => {
      code = ended.code;
    });
    await until(() => code !== undefined || waiting.length > before, {
      withinMs: 5000,
      what: "the call waits or has ended",
    });
    return code ?? "waits";
  }

  async function answerAll(): Promise<void> {
    for (const answer of waiting.splice(0)) answer();
    await until(() => admission.active === 0, { withinMs: 5000, what: "no call is in flight" });
  }

  it("leave capacity for callers other than the one with the most", async () => {
    const held = Array.from({ length: (MAX_CALLS * 3) / 4 }, () => {
      admission.enter({ peer: "peer" });
      return admission.claim("greedy");
    });
    expect(await begin("greedy")).to.equal("RESOURCE_EXHAUSTED");
    expect(await begin("other")).to.equal("waits");
    for (const part of held) admission.leave(part, "greedy");
    expect(await begin("greedy")).to.equal("waits");
    await answerAll();
  });

  it("use a bounded share of the memory for large requests, and leave some of it to other callers", async () => {
    const large = message(100);
    expect(large.length).to.be.above(LARGE_REQUEST_BYTES);
    const half = admission.requests.take("greedy", MAX_UNANSWERED_BYTES / 2);
    const quarter = admission.requests.take("greedy", MAX_UNANSWERED_BYTES / 4);
    expect([half, quarter]).to.deep.equal(["common", "own"]);
    expect([await begin("greedy", large), await begin("greedy"), await begin("other", large)]).to.deep.equal([
      "RESOURCE_EXHAUSTED",
      "waits",
      "waits",
    ]);
    await answerAll();
    admission.requests.giveBack("common", "greedy", MAX_UNANSWERED_BYTES / 2);
    admission.requests.giveBack("own", "greedy", MAX_UNANSWERED_BYTES / 4);
    // Nothing is left of answered or refused calls.
    expect(admission.requests.take("", MAX_UNANSWERED_BYTES)).to.equal("common");
    expect(admission.requests.take("", 1)).to.equal(undefined);
  });

  it("give up their place when they are cancelled during a second authentication", async () => {
    let know = (_: Principal) => {};
    let asked = 0;
    // Authenticated by its headers, and again when its message has arrived: keys have changed meanwhile.
    authenticate = () => {
      if (++asked > 1) return new Promise((resolve) => (know = resolve));
      callerValidity.changed();
      return known("a");
    };
    const { answer, cancel } = channel.begin(methodPath("IsBlacklisted"), message(1));
    await until(() => asked === 2, { withinMs: 5000, what: "the caller is authenticated again" });
    cancel();
    await answer;
    // The service has processed it once it has processed a later frame on the same connection.
    authenticate = () => known("b");
    expect(await begin("b")).to.equal("waits");
    know(known("a"));
    await answerAll();
  });
});
