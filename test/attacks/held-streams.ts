import { constants } from "node:http2";
import { framed, Http2Connection } from "../support/http2-call.ts";

export interface HeldStreams {
  /** Streams that have received a message and have not ended. */
  readonly open: number;
  /** Streams that ended, by their status. */
  readonly ended: Readonly<Record<string, number>>;
  release(): Promise<void>;
}

export interface Extent {
  readonly count?: number;
  readonly streamsAConnection?: number;
}

/**
 * Opens streams of the method at `path` with one caller's credential, sends `message` on each, and keeps them open. Resolves once each has received
 * a message or has ended.
 */
export async function holdStreams(
  address: string,
  { authorization, path, message }: { authorization: string; path: string; message: Uint8Array },
  { count = 10_000, streamsAConnection = 100 }: Extent = {},
): Promise<HeldStreams> {
  const connections: Http2Connection[] = [];
  const ended: Record<string, number> = {};
  let open = 0;
  const first = framed(message);
  const one = ({ session }: Http2Connection): Promise<void> => {
    const stream = session.request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
      te: "trailers",
      authorization,
    });
    stream.on("error", () => {});
    stream.write(first);
    return new Promise((resolve) => {
      let isOpen = false;
      let code = "none";
      const read = (fields: Record<string, unknown>) => {
        if (fields["grpc-status"] !== undefined) code = String(fields["grpc-status"]);
      };
      stream.on("response", read);
      stream.on("trailers", read);
      stream.on("data", () => {
        if (!isOpen) open++;
        isOpen = true;
        resolve();
      });
      stream.once("close", () => {
        if (isOpen) open--;
        ended[code] = (ended[code] ?? 0) + 1;
        resolve();
      });
      stream.once("end", () => stream.close(constants.NGHTTP2_NO_ERROR));
    });
  };
  for (let left = count; left > 0; left -= streamsAConnection) {
    const connection = await Http2Connection.open(address);
    connections.push(connection);
    await Promise.all(Array.from({ length: Math.min(left, streamsAConnection) }, () => one(connection)));
  }
  return {
    get open() {
      return open;
    },
    ended,
    release: async () => {
      await Promise.all(connections.map((connection) => connection.close()));
    },
  };
}
