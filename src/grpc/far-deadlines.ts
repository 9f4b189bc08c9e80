import type { IncomingHttpHeaders } from "node:http2";
import type { Server } from "@grpc/grpc-js";
import { MAX_TIMER_MS } from "../limits.ts";
import { http2ServersOf } from "./grpc-js-internals.ts";

const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1 };
const LONGEST = `${MAX_TIMER_MS / 1000}S`;

/**
 * Shortens deadlines that lie further ahead than {@link MAX_TIMER_MS}. grpc-js cuts a call's timeout to 32 bits of milliseconds, so that 30 days
 * would be over at once. To be called when the server has been given what it listens with.
 */
export function shortenFarDeadlines(server: Server): void {
  for (const http2Server of http2ServersOf(server)) {
    http2Server.prependListener("stream", (_stream: unknown, headers: IncomingHttpHeaders) => {
      const timeout = headers["grpc-timeout"];
      if (typeof timeout === "string" && isFar(timeout)) headers["grpc-timeout"] = LONGEST;
    });
  }
}

function isFar(timeout: string): boolean {
  // gRPC's own form has at most 8 digits and no space. grpc-js takes more, and would read the last 8 alone.
  const [, amount, unit] = /^(\d+)\s*([HMSm])$/.exec(timeout) ?? [];
  return Number(amount) * (UNIT_MS[unit ?? ""] ?? 0) > MAX_TIMER_MS;
}
