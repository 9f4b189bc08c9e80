import { once } from "node:events";
import { connect } from "node:net";
import { expect } from "chai";
import { Admission, MAX_CALLS } from "../../src/admission/admission.ts";
import { AUTHZ_BODY_MS, startAuthzServer } from "../../src/authz/authz-server.ts";
import { TokenAuthorizer } from "../../src/authz/token-authorizer.ts";
import type { Verdict } from "../../src/blacklist/check-service.ts";
import { Connections } from "../../src/connections/connections.ts";
import type { HttpListener } from "../../src/connections/http-listener.ts";
import { shareDescriptors } from "../../src/connections/listener-shares.ts";
import { DEFAULT_DEADLINE_MS, MAX_AUTHZ_UNANSWERED } from "../../src/limits.ts";
import { LogSampling } from "../../src/logging/log-sampling.ts";
import { Metrics } from "../../src/metrics/metrics.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { ask } from "../support/http-ask.ts";
import { memoryLog } from "../support/memory-log.ts";
import { until } from "../support/until.ts";

const REVISION = { number: 1, stamp: "0".repeat(16) };

// The responses to proxies are tested in test/service/authz.test.ts.
describe("the HTTP server for proxies", () => {
  const admission = new Admission();
  const clock = new FakeClock();
  const { log, records } = memoryLog();
  const waiting: ((verdict: Verdict) => void)[] = [];
  let server: HttpListener;
  let url: string;

  before(async () => {
    const blacklist = {
      check: () =>
        new Promise<{ verdicts: Verdict[]; revision: typeof REVISION }>((resolve) => {
          waiting.push((verdict) => resolve({ verdicts: [verdict], revision: REVISION }));
        }),
      checkOwnToken: async () => {},
    };
    const terms = {
      maxStalenessMs: 0,
      unverifiedBearer: false,
      missingJti: "deny",
      preflight: "deny",
    } as const;
    const logSampling = new LogSampling(clock);
    const authorizer = new TokenAuthorizer({ blacklist, ...terms, log, logSampling });
    const address = { host: "127.0.0.1", port: 0 };
    const metrics = new Metrics({ version: "1", node: "v1", schema: 1 });
    server = await startAuthzServer(address, {
      ...{
        authorizer,
        trusted: { jtiHeader: "x-jti", methodHeader: undefined },
        admission,
        clock,
        log,
        logSampling,
        metrics,
      },
      connections: new Connections({
        limits: shareDescriptors(1000, { total: undefined, perAddress: undefined, servesAuthz: true }).authz,
        ...{ listener: "AUTHZ_ADDRESS", clock, log },
      }),
      spans: undefined,
    });
    url = `http://127.0.0.1:${server.address.port}/authz`;
  });
  after(() => server?.close());
  afterEach(() => {
    waiting.length = 0;
  });

  const question = () => ask(url, { headers: { "x-jti": "a" } });
  const asked = (count: number) =>
    until(() => waiting.length === count, { withinMs: 2000, what: "the question has arrived" });

  it("answers 503 to a request that is not decided in time, and ignores a later decision", async () => {
    const answer = question();
    await asked(1);
    expect([admission.active, clock.pendingTimers]).to.deep.equal([1, 1]);
    clock.advance(DEFAULT_DEADLINE_MS - 1);
    expect(admission.active).to.equal(1);
    clock.advance(1);
    waiting[0]?.("not-blacklisted");
    expect((await answer).status).to.equal(503);
    expect([admission.active, clock.pendingTimers]).to.deep.equal([0, 0]);
    expect(records().at(-1)).to.deep.include({ level: "warn", reason: "DEADLINE_EXCEEDED" });
  });

  it("answers 503 above the limit of calls in flight, and admits requests again below it", async () => {
    for (let call = 0; call < MAX_CALLS; call++) admission.enter({ peer: "peer" });
    const { status, headers } = await question();
    expect([status, headers["retry-after"], waiting]).to.deep.equal([503, "1", []]);
    admission.leave();
    const answer = question();
    await asked(1);
    waiting[0]?.("not-blacklisted");
    expect((await answer).status).to.equal(204);
    for (let call = 1; call < MAX_CALLS; call++) admission.leave();
    expect(admission.active).to.equal(0);
  });

  /** The responses on one connection to these bytes, until it ends or `answers` have arrived. */
  async function converse(
    text: string,
    { answers = 99 } = {},
  ): Promise<{ statuses: string[]; isOpen: boolean }> {
    const socket = connect(server.address.port, "127.0.0.1");
    let received = "";
    let isOpen = true;
    socket.setEncoding("utf8").on("data", (chunk: string) => {
      received += chunk;
    });
    socket.once("close", () => {
      isOpen = false;
    });
    socket.write(text);
    const statuses = () => [...received.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => String(status));
    await until(
      () => {
        for (const answer of waiting.splice(0)) answer("not-blacklisted");
        return !isOpen || statuses().length >= answers;
      },
      { withinMs: 2000, what: "the answers have come" },
    );
    socket.destroy();
    return { statuses: statuses(), isOpen };
  }

  it("answers a request whose announced body does not arrive, and closes its connection", async () => {
    const smuggled = "GET /authz HTTP/1.1\r\nHost: x\r\nX-Jti: other\r\n\r\n";
    const announced = `POST /authz HTTP/1.1\r\nHost: x\r\nX-Jti: a\r\nContent-Length: ${smuggled.length}\r\n\r\n`;
    const conversation = converse(announced);
    await until(() => clock.pendingTimers > 0, { withinMs: 2000, what: "the question has arrived" });
    await until(
      () => {
        clock.advance(AUTHZ_BODY_MS);
        return admission.active === 0;
      },
      { withinMs: 2000, what: "it is answered" },
    );
    expect(await conversation).to.deep.equal({ statuses: ["204"], isOpen: false });
  });

  it("reads a request's body, and answers the next request on the connection", async () => {
    const first = "POST /authz?x=1 HTTP/1.1\r\nHost: x\r\nX-Jti: a\r\nContent-Length: 5\r\n\r\nhello";
    const chunked =
      "PUT /authz/ HTTP/1.1\r\nHost: x\r\nX-Jti: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    const last = "GET /authz HTTP/1.1\r\nHost: x\r\nX-Jti: a\r\n\r\n";
    const { statuses, isOpen } = await converse(first + chunked + last, { answers: 3 });
    expect([statuses, isOpen]).to.deep.equal([["204", "204", "204"], true]);
  });

  it("answers a request with Expect: 100-continue", async () => {
    const text =
      "POST /authz HTTP/1.1\r\nHost: x\r\nX-Jti: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi";
    const { statuses, isOpen } = await converse(text, { answers: 2 });
    expect([statuses, isOpen]).to.deep.equal([["100", "204"], true]);
  });

  it("releases the counts of pipelined requests whose client disconnects", async () => {
    const socket = connect(server.address.port, "127.0.0.1");
    socket.write("GET /authz HTTP/1.1\r\nHost: x\r\nX-Jti: a\r\n\r\n".repeat(MAX_AUTHZ_UNANSWERED));
    await asked(MAX_AUTHZ_UNANSWERED);
    socket.destroy();
    await once(socket, "close");
    for (const answer of waiting) answer("not-blacklisted");
    await until(() => admission.active === 0, { withinMs: 2000, what: "all have been let go" });
    expect(clock.pendingTimers).to.equal(0);
  });
});
