import {
  type ServiceError as GrpcError,
  type Metadata,
  Server,
  ServerCredentials,
  type StatusObject,
} from "@grpc/grpc-js";
import { TokenBlacklist } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import type { ServiceError } from "../../src/errors.ts";
import { type InputOf, type OutputOf, serviceDefinition } from "../../src/grpc/service-definition.ts";
import { statusOf } from "../../src/grpc/status.ts";

type Service = typeof TokenBlacklist;
type Method = "blacklist" | "isBlacklisted" | "list" | "prune";

/** What each method answers. One that throws a ServiceError fails as the service would, with details. */
export type Script = {
  readonly [K in Method]?: (
    request: InputOf<Service, K>,
    call: { cancelled(): Promise<void> },
  ) => OutputOf<Service, K> | StatusObject | Promise<OutputOf<Service, K>>;
};

interface Arrived {
  readonly method: Method;
  readonly request: object;
  /** The values of its `authorization` metadata. */
  readonly authorization: readonly unknown[];
  readonly metadata: Metadata;
}

export interface ScriptedService {
  readonly address: string;
  /** Every call that arrived, in order. */
  readonly calls: readonly Arrived[];
  stop(): void;
}

/** A gRPC server on a socket that answers as `script` says, and has no opinion on what is right. */
export async function startScripted(script: Script): Promise<ScriptedService> {
  const calls: Arrived[] = [];
  const server = new Server();
  const handlers = Object.fromEntries(
    Object.keys(TokenBlacklist.method).map((name) => {
      const method = name as Method;
      const answer = script[method] as ((request: object, call: object) => unknown) | undefined;
      return [method, handler(method, answer)];
    }),
  );
  server.addService(serviceDefinition(TokenBlacklist), handlers);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  return {
    address: `127.0.0.1:${port}`,
    calls,
    stop: () => server.forceShutdown(),
  };

  function handler(method: Method, answer: ((request: object, call: object) => unknown) | undefined) {
    return async (
      call: { request: object; metadata: Metadata; on(event: "cancelled", listener: () => void): void },
      respond: (error: Partial<GrpcError> | null, value?: unknown) => void,
    ) => {
      const authorization = call.metadata.get("authorization");
      calls.push({ method, request: call.request, authorization, metadata: call.metadata });
      const cancelled = () => new Promise<void>((resolve) => call.on("cancelled", resolve));
      try {
        const value = await answer?.(call.request, { cancelled });
        if (value === undefined || isStatus(value)) respond((value as StatusObject | undefined) ?? {});
        else respond(null, value);
      } catch (error) {
        respond(statusOf(error as ServiceError));
      }
    };
  }
}

function isStatus(value: unknown): value is StatusObject {
  return typeof value === "object" && value !== null && "code" in value;
}
