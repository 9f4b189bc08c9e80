import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import type { Server } from "@grpc/grpc-js";
import { DAMAGED_AUTHORIZATION } from "../auth/bearer-authenticator.ts";
import { countingSocketOf, type FieldCountingSocket } from "./field-counting-socket.ts";
import { http2ServersOf } from "./grpc-js-internals.ts";

/**
 * Replaces a damaged or repeated `authorization` with a value that is never accepted. Node.js drops invalid header fields and all but the
 * first of repeated values; grpc-js drops values that are not ASCII. What remains would look like a call without a credential, or like
 * another caller's. To be called once the server has its listeners.
 */
export function keepDamagedCredentials(server: Server): void {
  for (const http2Server of http2ServersOf(server)) {
    const counting = new WeakMap<object, FieldCountingSocket>();
    http2Server.prependListener("session", (session) => {
      const socket = countingSocketOf(session);
      if (socket !== undefined) counting.set(session, socket);
    });
    http2Server.prependListener(
      "stream",
      (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, _flags: number, raw?: readonly string[]) => {
        const socket = stream.session && counting.get(stream.session);
        if (raw === undefined || isDamaged(raw, stream.id, socket))
          headers.authorization = DAMAGED_AUTHORIZATION;
      },
    );
  }
}

/** `raw` alternates names and values. */
function isDamaged(
  raw: readonly string[],
  stream: number | undefined,
  socket: FieldCountingSocket | undefined,
): boolean {
  let found = 0;
  let value = "";
  for (let index = 0; index < raw.length; index += 2) {
    const name = raw[index];
    if (name === "authorization-bin") return true;
    if (name !== "authorization") continue;
    found++;
    value = raw[index + 1] ?? "";
  }
  if (found > 1) return true;
  // On other connections, a call that has lost its credential has no other identity.
  if (socket === undefined) return false;
  return socket.fields.claim(stream ?? 0) !== raw.length / 2 || NOT_ASCII.test(value);
}

const NOT_ASCII = /[^ -~]/;
