import { type ClientReadableStream, type StatusObject, status } from "@grpc/grpc-js";
import { service as health } from "grpc-health-check";
import type { StatusName } from "../../src/client/client-error.ts";
import type { RawChannel } from "./raw-channel.ts";

export interface HealthWatch {
  /** The received statuses. */
  readonly seen: readonly string[];
  /** Resolves when this status is the latest; rejects if the stream ends first. */
  reaches(wanted: string): Promise<void>;
  /** Resolves with the stream's status code. */
  readonly ended: Promise<StatusName>;
  cancel(): void;
}

/** Watches the health of one service; `""` is the whole server. */
export function checkHealth(channel: RawChannel, service = ""): Promise<string> {
  const { path, requestSerialize, responseDeserialize } = health.Check as (typeof health)[string];
  return new Promise((resolve, reject) => {
    channel.grpc.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      { service },
      { deadline: Date.now() + 5000 },
      (error, answer) => {
        if (error) reject(error);
        else resolve((answer as { status: string }).status);
      },
    );
  });
}

export function listHealth(channel: RawChannel): Promise<Record<string, { status: string }>> {
  const { path, requestSerialize, responseDeserialize } = health.List as (typeof health)[string];
  return new Promise((resolve, reject) => {
    channel.grpc.makeUnaryRequest(path, requestSerialize, responseDeserialize, {}, (error, answer) => {
      if (error) reject(error);
      else resolve((answer as { statuses: Record<string, { status: string }> }).statuses);
    });
  });
}

export function watchHealth(channel: RawChannel, service = ""): HealthWatch {
  const { path, requestSerialize, responseDeserialize } = health.Watch as (typeof health)[string];
  const stream: ClientReadableStream<object> = channel.grpc.makeServerStreamRequest(
    path,
    requestSerialize,
    responseDeserialize,
    { service },
  );
  const seen: string[] = [];
  let waiting: { wanted: string; resolve: () => void; reject: (error: Error) => void }[] = [];
  stream.on("data", (answer) => {
    const { status: now } = answer as { status: string };
    seen.push(now);
    for (const { wanted, resolve } of waiting) if (wanted === now) resolve();
    waiting = waiting.filter(({ wanted }) => wanted !== now);
  });
  const ended = new Promise<StatusName>((resolve) => {
    // A failing stream emits its error twice.
    stream.on("error", () => {});
    stream.on("status", ({ code }: StatusObject) => {
      for (const { wanted, reject } of waiting)
        reject(new Error(`ended (${status[code]}) before ${wanted}: ${seen.join()}`));
      resolve(status[code] as StatusName);
    });
  });
  return {
    seen,
    reaches: (wanted) =>
      seen.at(-1) === wanted
        ? Promise.resolve()
        : new Promise((resolve, reject) => waiting.push({ wanted, resolve, reject })),
    ended,
    cancel: () => stream.cancel(),
  };
}
