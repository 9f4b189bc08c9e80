import { constants } from "node:http2";
import { create, toBinary } from "@bufbuild/protobuf";
import { HealthCheckRequestSchema } from "../../gen/grpc/health/v1/health_pb.js";
import { framed, Http2Connection } from "../support/http2-call.ts";

/**
 * Watches the health of services that do not exist, each under a different name of `bytes` bytes, and cancels each Watch as soon as
 * it has a response. Resolves with the number of responses.
 */
export async function healthNames(
  address: string,
  { count = 300, bytes = 1024 * 1024 } = {},
): Promise<number> {
  let answered = 0;
  const http2 = await Http2Connection.open(address);
  try {
    for (let index = 0; index < count; index++) {
      const service = `${index}-`.padEnd(bytes, "x");
      if (await watchOnce(http2, service)) answered++;
    }
  } finally {
    await http2.close();
  }
  return answered;
}

/** Whether a Watch had a response, a status or an end. */
function watchOnce({ session }: Http2Connection, service: string): Promise<boolean> {
  const body = framed(toBinary(HealthCheckRequestSchema, create(HealthCheckRequestSchema, { service })));
  const stream = session.request({
    ":method": "POST",
    ":path": "/grpc.health.v1.Health/Watch",
    "content-type": "application/grpc",
    te: "trailers",
  });
  return new Promise((resolve) => {
    stream.on("error", () => {});
    stream.once("response", () => {
      stream.close(constants.NGHTTP2_CANCEL);
      resolve(true);
    });
    stream.once("close", () => resolve(false));
    stream.end(body);
  });
}
