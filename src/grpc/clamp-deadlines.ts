import type { IncomingHttpHeaders } from "node:http2";
import type { Server } from "@grpc/grpc-js";
import { MAX_TIMER_MS } from "../limits.ts";
import { http2ServersOf } from "./grpc-js-internals.ts";

const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1 };
const LONGEST = `${MAX_TIMER_MS / 1000}S`;

/**
 * Shortens deadlines more than {@link MAX_TIMER_MS} ahead. grpc-js truncates a timeout to 32 bits of milliseconds, so that one of 30 days
 * would expire at once. To be called once the server has its listeners.
 */
export function clampDeadlines(server: Server): void {
  for (const http2Server of http2ServersOf(server)) {
    http2Server.prependListener("stream", (_stream: unknown, headers: IncomingHttpHeaders) => {
      const timeout = headers["grpc-timeout"];
      if (typeof timeout === "string" && isFar(timeout)) headers["grpc-timeout"] = LONGEST;
    });
  }
}

function isFar(timeout: string): boolean {
  // gRPC allows at most 8 digits and no space. grpc-js accepts more, and would read only the last 8 digits.
  const [, amount, unit] = /^(\d+)\s*([HMSm])$/.exec(timeout) ?? [];
  return Number(amount) * (UNIT_MS[unit ?? ""] ?? 0) > MAX_TIMER_MS;
}
