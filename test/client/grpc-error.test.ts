import { create, toBinary } from "@bufbuild/protobuf";
import { anyPack, DurationSchema } from "@bufbuild/protobuf/wkt";
import { Metadata, type StatusObject, status } from "@grpc/grpc-js";
import { expect } from "chai";
import { ErrorInfoSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "../../gen/google/rpc/status_pb.js";
import { MAX_RETRY_AFTER_MS } from "../../src/client/grpc-error.ts";
import { createRpcClient } from "../../src/client/rpc-client.ts";
import { invalidRequest, storeUnavailable } from "../../src/errors.ts";
import { failure } from "./failure.ts";
import { type Script, startScripted } from "./scripted-service.ts";

describe("an error of the client", () => {
  /** The error of `list` for this response. */
  async function told(list: NonNullable<Script["list"]>) {
    const service = await startScripted({ list });
    const client = createRpcClient({ address: service.address });
    try {
      const { code, reason, message, violations, retryAfterMs } = await failure(client.list({}));
      return { code, reason, message, violations, retryAfterMs, calls: service.calls.length };
    } finally {
      client.close();
      service.stop();
    }
  }

  function withDetails(details: Uint8Array): StatusObject {
    const metadata = new Metadata();
    metadata.set("grpc-status-details-bin", Buffer.from(details));
    return { code: status.UNAVAILABLE, details: "away", metadata };
  }

  const bare = {
    code: "UNAVAILABLE",
    message: "the token blacklist cannot be reached",
    reason: undefined,
    retryAfterMs: undefined,
    calls: 1,
  };

  it("names every violation of the request", async () => {
    const violations = [
      { field: "page_size", description: "must not be negative" },
      { field: "jtis[7]", description: "must be a token's jti claim", reason: "RAW_TOKEN" },
    ];
    const answer = await told(() => {
      throw invalidRequest(violations);
    });
    expect(answer).to.deep.equal({
      code: "INVALID_ARGUMENT",
      reason: "INVALID_REQUEST",
      message: "page_size: must not be negative; jtis[7]: must be a token's jti claim",
      violations,
      retryAfterMs: undefined,
      calls: 1,
    });
  });

  it("states when to retry, and the client does not retry by itself", async () => {
    const answer = await told(() => {
      throw storeUnavailable("the database is away");
    });
    expect(answer).to.deep.equal({
      code: "UNAVAILABLE",
      reason: "STORE_UNAVAILABLE",
      message: "the database is away",
      violations: [],
      retryAfterMs: 500,
      calls: 1,
    });
  });

  it("has a retry delay within bounds, for any value from the service", async () => {
    const limit = 315_576_000_000n;
    for (const [retryDelay, retryAfterMs] of [
      [{ seconds: -1n }, 0],
      [{ nanos: -1_000_000 }, 0],
      [{ seconds: -(2n ** 62n) }, 0],
      [{ seconds: 2n ** 31n / 1000n + 1n }, MAX_RETRY_AFTER_MS],
      [{ seconds: limit }, MAX_RETRY_AFTER_MS],
      [{ seconds: 2n ** 62n, nanos: 2 ** 31 - 1 }, MAX_RETRY_AFTER_MS],
      [{ seconds: 1n, nanos: 500_000_000 }, 1500],
      [{}, 0],
    ] as const) {
      const info = anyPack(
        RetryInfoSchema,
        create(RetryInfoSchema, { retryDelay: create(DurationSchema, retryDelay) }),
      );
      const details = toBinary(StatusSchema, create(StatusSchema, { details: [info] }));
      expect(await told(() => withDetails(details))).to.include({ retryAfterMs });
    }
  });

  it("is complete without details", async () => {
    const answer = await told(() => ({
      code: status.UNAVAILABLE,
      details: "away",
      metadata: new Metadata(),
    }));
    expect(answer).to.deep.equal({ ...bare, violations: [] });
  });

  it("is complete with details that cannot be decoded", async () => {
    const answer = await told(() => withDetails(Uint8Array.of(0xff, 0xff, 0xff)));
    expect(answer).to.deep.equal({ ...bare, violations: [] });
  });

  it("takes a reason only from this service, not from a proxy in front of it", async () => {
    const info = create(ErrorInfoSchema, { reason: "STORE_UNAVAILABLE", domain: "proxy" });
    const garbled = { typeUrl: "type.googleapis.com/google.rpc.BadRequest", value: Uint8Array.of(0xff) };
    const details = [garbled, anyPack(ErrorInfoSchema, info)];
    const answer = await told(() => withDetails(toBinary(StatusSchema, create(StatusSchema, { details }))));
    expect(answer).to.deep.equal({ ...bare, violations: [] });
  });
});
