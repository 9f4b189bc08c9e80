import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import type { Server } from "@grpc/grpc-js";
import { DAMAGED_AUTHORIZATION } from "../auth/bearers.ts";
import { countingSocketOf, type FieldCountingSocket } from "./field-counting-socket.ts";
import { http2ServersOf } from "./grpc-js-internals.ts";

/**
 * Has a call whose `authorization` came damaged or repeated keep one that nobody accepts: Node.js drops what it finds invalid, and of two values the
 * second; grpc-js drops what is not ASCII. What is left would look like a call without a credential, or like another caller's. To be called when the server has
 * been given what it listens with.
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
        if (isDamaged(raw ?? [], stream.id, socket)) headers.authorization = DAMAGED_AUTHORIZATION;
      },
    );
  }
}

/** `raw` has names and values in turn. */
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
  // Elsewhere a call that has lost its credential has no other.
  if (socket === undefined) return false;
  return socket.fields.claim(stream ?? 0) !== raw.length / 2 || NOT_ASCII.test(value);
}

const NOT_ASCII = /[^ -~]/;
