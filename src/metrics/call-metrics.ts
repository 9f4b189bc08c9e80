import { Counter, type Registry } from "prom-client";
import { CALL_SECONDS, Distribution, DistributionMetric } from "./distribution.ts";

/** The gRPC codes by number, spelled as in Go, which dashboards and alerts for gRPC servers expect. */
const CODES = [
  "OK",
  "Canceled",
  "Unknown",
  "InvalidArgument",
  "DeadlineExceeded",
  "NotFound",
  "AlreadyExists",
  "PermissionDenied",
  "ResourceExhausted",
  "FailedPrecondition",
  "Aborted",
  "OutOfRange",
  "Unimplemented",
  "Internal",
  "Unavailable",
  "DataLoss",
  "Unauthenticated",
] as const;

const UNKNOWN = CODES.indexOf("Unknown");

export interface Method {
  /** `/package.Service/Method`. */
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
}

/** Counts the calls of one method in plain numbers, which are faster than the library's counters. */
export class MethodCalls {
  begun = 0;
  /** The number of ended calls; the index is the gRPC code. */
  readonly ended: number[] = CODES.map(() => 0);
  readonly times = new Distribution(CALL_SECONDS);

  begin(): void {
    this.begun++;
  }

  end(code: number, seconds: number): void {
    (this.ended[code in this.ended ? code : UNKNOWN] as number) += 1;
    this.times.add(seconds);
  }
}

/**
 * The metrics of a gRPC server under their usual names (go-grpc-prometheus and its successors). Each method is exported from the start with
 * every code, so that a first failure is an increase from 0 and not a new series.
 */
export class CallMetrics {
  readonly #methods: {
    labels: Record<"grpc_type" | "grpc_service" | "grpc_method", string>;
    calls: MethodCalls;
  }[] = [];

  constructor(registers: Registry[]) {
    const methods = this.#methods;
    const labelNames = ["grpc_type", "grpc_service", "grpc_method"] as const;
    new Counter({
      name: "grpc_server_started_total",
      help: "Calls started, by method.",
      labelNames,
      registers,
      collect() {
        this.reset();
        for (const { labels, calls } of methods) this.inc(labels, calls.begun);
      },
    });
    new Counter({
      name: "grpc_server_handled_total",
      help: "Calls ended, by method and gRPC code.",
      labelNames: [...labelNames, "grpc_code"],
      registers,
      collect() {
        this.reset();
        for (const { labels, calls } of methods) {
          for (const [code, count] of calls.ended.entries()) {
            this.inc({ ...labels, grpc_code: CODES[code] as string }, count);
          }
        }
      },
    });
    new DistributionMetric({
      name: "grpc_server_handling_seconds",
      help: "Duration of calls, by method. The duration of a stream is its lifetime.",
      registers,
      distributions: () => methods.map(({ labels, calls }) => ({ labels, distribution: calls.times })),
    });
  }

  /** Registers a method, and returns the counts of its calls. To be called once per method. */
  of({ path, requestStream, responseStream }: Method): MethodCalls {
    const [, grpc_service = "", grpc_method = ""] = path.split("/");
    const calls = new MethodCalls();
    this.#methods.push({
      labels: { grpc_type: typeOf({ requestStream, responseStream }), grpc_service, grpc_method },
      calls,
    });
    return calls;
  }
}

function typeOf({ requestStream, responseStream }: Omit<Method, "path">): string {
  if (requestStream) return responseStream ? "bidi_stream" : "client_stream";
  return responseStream ? "server_stream" : "unary";
}
