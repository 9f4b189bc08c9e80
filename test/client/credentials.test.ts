import { expect } from "chai";
import type { BearerToken } from "../../src/client/authorization.ts";
import { ClientError } from "../../src/client/client-error.ts";
import { type CredentialsSetup, clientCredentials } from "../../src/client/credentials.ts";
import { createRpcClient, type RpcClient } from "../../src/client/rpc-client.ts";
import { failure } from "./failure.ts";
import { type ScriptedService, startScripted } from "./scripted-service.ts";

/** The code and text of the ClientError that `make` throws. */
function refusal(make: () => unknown): { code: string; message: string } {
  try {
    make();
  } catch (error) {
    if (error instanceof ClientError) return { code: error.code, message: error.message };
    throw error;
  }
  throw new Error("it should have thrown");
}

describe("the client's credentials", () => {
  let service: ScriptedService;
  let client: RpcClient | undefined;

  beforeEach(async () => {
    service = await startScripted({ list: () => ({}) });
  });

  afterEach(() => {
    client?.close();
    client = undefined;
    service.stop();
  });

  function connected(token: BearerToken): RpcClient {
    client = createRpcClient({ address: service.address, credentials: clientCredentials({ token }) });
    return client;
  }

  const sent = () => service.calls.map(({ authorization }) => authorization);

  it("send a token as a bearer token, one per call", async () => {
    const { list } = connected("abc.def-_~+/=");
    await list({});
    await list({});
    expect(sent()).to.deep.equal([["Bearer abc.def-_~+/="], ["Bearer abc.def-_~+/="]]);
  });

  it("request the current token before each call, and wait for it", async () => {
    const tokens = ["first", Promise.resolve("second"), "third"];
    const { list } = connected(() => tokens.shift() as string);
    for (let calls = 0; calls < 3; calls++) await list({});
    expect(sent()).to.deep.equal([["Bearer first"], ["Bearer second"], ["Bearer third"]]);
  });

  it("send nothing without a token, and keep the reason", async () => {
    const cause = new Error("the vault is sealed");
    const sync = failure(
      connected(() => {
        throw cause;
      }).list({}),
    );
    const { code, message } = await sync;
    client?.close();
    const { cause: kept } = await failure(connected(() => Promise.reject(cause)).list({}));
    expect({ code, message, kept, sent: sent() }).to.deep.equal({
      code: "UNAUTHENTICATED",
      message: "the function for the caller's token failed",
      kept: cause,
      sent: [],
    });
  });

  it("wait for a token no longer than the call's timeout", async () => {
    const { list } = connected(() => new Promise(() => {}));
    const abort = new AbortController();
    const aborted = failure(list({}, { signal: abort.signal }));
    abort.abort();
    expect([
      (await failure(list({}, { timeoutMs: 20 }))).code,
      (await aborted).code,
      (await failure(list({}, { signal: AbortSignal.abort() }))).code,
      sent(),
    ]).to.deep.equal(["DEADLINE_EXCEEDED", "CANCELLED", "CANCELLED", []]);
  });

  for (const token of ["", "Bearer secret", "secret\n", '"secret"', "sécret", "secret secret"]) {
    it(`refuse the text ${JSON.stringify(token)} as a token, and do not repeat it`, async () => {
      const fixed = refusal(() => clientCredentials({ token }));
      const current = await failure(connected(() => token).list({}));
      const message =
        "the caller's token must be a bearer token alone: no spaces, no quotes, no word before it";
      expect([fixed, { code: current.code, message: current.message }, sent()]).to.deep.equal([
        { code: "INVALID_ARGUMENT", message },
        { code: "UNAUTHENTICATED", message },
        [],
      ]);
    });
  }

  it("let a token leave this machine only over TLS", () => {
    const connect = (address: string, setup: CredentialsSetup) =>
      createRpcClient({ address, credentials: clientCredentials(setup) }).close();
    for (const address of ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1", "unix:/run/x.sock"]) {
      connect(address, { token: "abc" });
    }
    const elsewhere = [
      "10.0.0.1:1",
      "0.0.0.0:1",
      "[::]:1",
      "service.test:1",
      "localhost.test:1",
      "127.0.0.1.test:1",
      "dns:///127.0.0.1:1",
    ];
    for (const address of elsewhere) {
      expect(
        refusal(() => connect(address, { token: "abc" })),
        address,
      ).to.deep.equal({
        code: "INVALID_ARGUMENT",
        message: "a token is not sent without TLS, except to this machine",
      });
      connect(address, { token: "abc", tls: true });
      connect(address, {});
    }
  });

  it("name the part of TLS that cannot be used, without its content", () => {
    const junk = Buffer.from("secret");
    expect([
      refusal(() => clientCredentials({ tls: { ca: junk } })),
      refusal(() => clientCredentials({ tls: { cert: junk } })),
      refusal(() => clientCredentials({ tls: { key: junk } })),
      refusal(() => clientCredentials({ tls: { cert: junk, key: junk } })),
    ]).to.deep.equal(
      [
        "the CA certificate cannot be used (ERR_OSSL_PEM_NO_START_LINE)",
        "cert and key need each other",
        "cert and key need each other",
        "cert and key cannot be used (ERR_OSSL_PEM_NO_START_LINE)",
      ].map((message) => ({ code: "INVALID_ARGUMENT", message })),
    );
  });
});
