import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import type { Server } from "@grpc/grpc-js";
import { DAMAGED_AUTHORIZATION } from "../auth/bearer-authenticator.ts";
import { MAX_TIMER_MS } from "../limits.ts";
import { type FieldCountingSocket, fieldCountingSocketOf } from "./field-counting-socket.ts";
import { http2ServersOf } from "./grpc-js-internals.ts";

/** Amends the headers of each call before grpc-js reads them. To be called once the server has its listeners. */
export function amendHeaders(server: Server): void {
  for (const http2Server of http2ServersOf(server)) {
    const countingSockets = new WeakMap<object, FieldCountingSocket>();
    http2Server.prependListener("session", (session) => {
      const socket = fieldCountingSocketOf(session);
      if (socket !== undefined) countingSockets.set(session, socket);
    });
    http2Server.prependListener(
      "stream",
      (
        stream: ServerHttp2Stream,
        headers: IncomingHttpHeaders,
        _flags: number,
        rawHeaders?: readonly string[],
      ) => {
        clampDeadline(headers);
        const socket = stream.session && countingSockets.get(stream.session);
        if (rawHeaders === undefined || hasDamagedCredential(rawHeaders, stream.id, socket))
          headers.authorization = DAMAGED_AUTHORIZATION;
      },
    );
  }
}

/**
 * Whether `authorization` is damaged or repeated. Node.js drops invalid header fields and all but the first of repeated values; grpc-js drops
 * values that are not ASCII. The call would then seem to have no credential, or that of another caller. `rawHeaders` alternates names and
 * values. `socket` is present only if the connection has a certificate that would authenticate the call if its token were lost: only then
 * are dropped fields and values detected.
 */
function hasDamagedCredential(
  rawHeaders: readonly string[],
  stream: number | undefined,
  socket: FieldCountingSocket | undefined,
): boolean {
  let count = 0;
  let value = "";
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index];
    if (name === "authorization-bin") return true;
    if (name !== "authorization") continue;
    count++;
    value = rawHeaders[index + 1] ?? "";
  }
  if (count > 1) return true;
  if (socket === undefined) return false;
  // Without a known count, the comparison fails, and the call is refused.
  const sentFields = socket.fieldCounter.takeCount(stream ?? 0);
  return sentFields !== rawHeaders.length / 2 || NOT_ASCII.test(value);
}

const NOT_ASCII = /[^ -~]/;

const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1 };
const LONGEST_TIMEOUT = `${MAX_TIMER_MS / 1000}S`;

/**
 * Shortens a timeout of more than {@link MAX_TIMER_MS}, the longest delay of a timer (24 days). grpc-js truncates it to 32 bits of
 * milliseconds, so that a timeout of 30 days would expire at once.
 */
function clampDeadline(headers: IncomingHttpHeaders): void {
  const timeout = headers["grpc-timeout"];
  if (typeof timeout !== "string") return;
  // gRPC allows at most 8 digits and no space. grpc-js accepts more, and would read only the last 8 digits.
  const [, amount, unit = ""] = /^(\d+)\s*([HMSm])$/.exec(timeout) ?? [];
  if (Number(amount) * (UNIT_MS[unit] ?? 0) > MAX_TIMER_MS) headers["grpc-timeout"] = LONGEST_TIMEOUT;
}
