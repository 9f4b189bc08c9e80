import { create } from "@bufbuild/protobuf";
import {
  type ServiceError as GrpcError,
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type StatusObject,
  type UntypedHandleCall,
} from "@grpc/grpc-js";
import {
  IsBlacklistedRequestSchema,
  IsBlacklistedResponseSchema,
  QuestionMetadataSchema,
  type StreamChecksRequest,
  type StreamChecksResponse,
  TokenBlacklist,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import type { ServiceError } from "../../src/errors.ts";
import { encodedStatusOf, statusOf } from "../../src/grpc/status.ts";
import { type InputOf, type OutputOf, serviceDefinition } from "../../src/protobuf/service-definition.ts";

type Service = typeof TokenBlacklist;
type Method = "blacklist" | "isBlacklisted" | "list" | "prune";

/** The response of each method. One that throws a ServiceError fails as the service would, with details. */
export type Script = {
  readonly [K in Method]?: (
    request: InputOf<Service, K>,
    call: { readonly authorization: readonly unknown[]; cancelled(): Promise<void> },
  ) => OutputOf<Service, K> | StatusObject | Promise<OutputOf<Service, K>>;
};

interface Arrived {
  readonly method: Method;
  /** Whether it arrived over a stream. */
  readonly isStreamed: boolean;
  readonly request: object;
  /** The values of the `authorization` metadata, of the call or of its stream. */
  readonly authorization: readonly unknown[];
  /** The metadata of the call itself. */
  readonly metadata: Metadata;
}

export interface ScriptedService {
  readonly address: string;
  /** Every call and every question of a stream that arrived, in order. */
  readonly calls: readonly Arrived[];
  /** The number of streams of `StreamChecks` so far, open now, and open at once at most. */
  readonly streams: Readonly<StreamCounts>;
  /** Removes and returns the calls so far. */
  forget(): void;
  stop(): void;
}

interface StreamCounts {
  begun: number;
  open: number;
  most: number;
}

export type CheckStreamCall = ServerDuplexStream<StreamChecksRequest, object>;

export interface ScriptedOptions {
  /**
   * Whether it has streams of `StreamChecks`; their questions are answered by what answers `isBlacklisted`, and noted as its calls. A
   * function takes each stream in place of that.
   */
  readonly streams?: boolean | ((call: CheckStreamCall) => void);
  /** Its address; any free port by default. */
  readonly port?: number;
}

type Answer = (request: object, call: object) => unknown;

const METHODS: readonly Method[] = ["blacklist", "isBlacklisted", "list", "prune"];

/** A gRPC server on a socket that responds as `script` says, and checks nothing. */
export async function startScripted(
  script: Script,
  { streams = true, port: wanted = 0 }: ScriptedOptions = {},
): Promise<ScriptedService> {
  const calls: Arrived[] = [];
  const counts: StreamCounts = { begun: 0, open: 0, most: 0 };
  const server = new Server();
  const handlers: Record<string, UntypedHandleCall> = Object.fromEntries(
    METHODS.map((method) => [method, handler(method, script[method] as Answer | undefined) as never]),
  );
  if (streams !== false) {
    const take = streams === true ? check : streams;
    handlers.streamChecks = ((call: CheckStreamCall) => {
      counts.begun++;
      counts.most = Math.max(counts.most, ++counts.open);
      // Called at the very end of every stream, for any kind of end.
      call.once("cancelled", () => counts.open--);
      take(call);
    }) as never;
  }
  server.addService(serviceDefinition(TokenBlacklist), handlers);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${wanted}`, ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  return {
    address: `127.0.0.1:${port}`,
    calls,
    streams: counts,
    forget: () => void calls.splice(0),
    stop: () => server.forceShutdown(),
  };

  function check(call: CheckStreamCall): void {
    const authorization = call.metadata.get("authorization");
    const cancelled = () => new Promise<void>((resolve) => call.on("cancelled", resolve));
    const tell = (id: number, outcome: StreamChecksResponse["outcome"]) => call.write({ id, outcome });
    async function answer({
      id,
      question = create(IsBlacklistedRequestSchema),
      metadata: { values } = create(QuestionMetadataSchema),
    }: StreamChecksRequest): Promise<void> {
      const metadata = Metadata.fromHttp2Headers(values);
      calls.push({ method: "isBlacklisted", isStreamed: true, request: question, authorization, metadata });
      try {
        const value = await (script.isBlacklisted as Answer | undefined)?.(question, {
          authorization,
          cancelled,
        });
        if (value === undefined || isStatus(value)) call.emit("error", value ?? {});
        else tell(id, { case: "answer", value: create(IsBlacklistedResponseSchema, value as object) });
      } catch (error) {
        tell(id, { case: "status", value: encodedStatusOf(error as ServiceError) });
      }
    }
    call.on("data", (request: StreamChecksRequest) => void answer(request));
    call.on("end", () => call.end());
  }

  function handler(method: Method, answer: Answer | undefined) {
    return async (
      call: { request: object; metadata: Metadata; on(event: "cancelled", listener: () => void): void },
      respond: (error: Partial<GrpcError> | null, value?: unknown) => void,
    ) => {
      const authorization = call.metadata.get("authorization");
      calls.push({
        method,
        isStreamed: false,
        request: call.request,
        authorization,
        metadata: call.metadata,
      });
      const cancelled = () => new Promise<void>((resolve) => call.on("cancelled", resolve));
      try {
        const value = await answer?.(call.request, { authorization, cancelled });
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
