import { type Server, type ServerUnaryCall, type ServerWritableStream, status } from "@grpc/grpc-js";
import type { Logger } from "pino";
import {
  type HealthCheckRequest,
  HealthCheckRequestSchema,
  Health as HealthService,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "../../gen/grpc/health/v1/health_pb.js";
import { MALFORMED, serviceDefinition } from "../protobuf/service-definition.ts";
import type { Serving } from "../serving.ts";
import { HealthWatches, type HealthWatchesSetup } from "./health-watches.ts";

/** Suffix of a service's name for the status of its positives: whether BLACKLISTED is returned for known blacklisted tokens. */
const POSITIVES = "/positives";

interface Setup extends HealthWatchesSetup {
  /** The full names of the services. */
  readonly names: readonly string[];
  readonly log: Logger;
}

/**
 * `grpc.health.v1`: Check, Watch and List for the whole server (`""`), for each of its services, and for the positive answers of each, which
 * remain available during a database outage. No authentication is required, so an unknown name is neither kept nor echoed.
 */
export class Health {
  readonly #log: Logger;
  readonly #statuses: Map<string, ServingStatus>;
  readonly #watches: HealthWatches;

  constructor({ names, log, ...setup }: Setup) {
    this.#log = log;
    const known = ["", ...names, ...names.map((name) => name + POSITIVES)];
    this.#statuses = new Map(known.map((name) => [name, ServingStatus.NOT_SERVING]));
    this.#watches = new HealthWatches(setup);
  }

  /** Number of open Watch streams. */
  get watches(): number {
    return this.#watches.size;
  }

  /** Sets what the service can serve now, as health checks report it. */
  set(serving: Serving): void {
    for (const name of this.#statuses.keys()) {
      const isEnough = name.endsWith(POSITIVES) ? serving !== "nothing" : serving === "everything";
      this.#statuses.set(name, isEnough ? ServingStatus.SERVING : ServingStatus.NOT_SERVING);
    }
    this.#watches.update();
  }

  addTo(server: Pick<Server, "addService">): void {
    server.addService(serviceDefinition(HealthService), {
      check: this.#unary("Check", ({ service }) => {
        const found = this.#statuses.get(service);
        return found === undefined ? UNKNOWN : { status: found };
      }),
      list: this.#unary("List", () => {
        const statuses = [...this.#statuses].map(([name, now]) => [name, { status: now }]);
        return { statuses: Object.fromEntries(statuses) };
      }),
      watch: (call: ServerWritableStream<unknown, object>) => {
        this.#log.debug({ method: "Watch", service: HealthService.typeName, peer: call.getPeer() }, "call");
        const problem = problemOf(call.request);
        if (problem === undefined)
          this.#watches.open(call, this.#statusOf(call.request as HealthCheckRequest));
        else call.emit("error", problem);
      },
    });
  }

  /** Ends every Watch and refuses new ones. A Watch does not end by itself, and a server cannot stop while one is open. */
  endWatches(): void {
    this.#watches.end();
  }

  /** Returns a function that returns the current status of a service and does not retain an unknown name. */
  #statusOf({ service }: HealthCheckRequest): () => ServingStatus {
    if (!this.#statuses.has(service)) return unknownStatus;
    return () => this.#statuses.get(service) as ServingStatus;
  }

  #unary(method: string, answer: (request: HealthCheckRequest) => Problem | object) {
    return (
      call: ServerUnaryCall<unknown, object>,
      callback: (error: Problem | null, response?: object) => void,
    ) => {
      const answered = problemOf(call.request) ?? answer(call.request as HealthCheckRequest);
      const isProblem = "code" in answered;
      const code = isProblem ? answered.code : "OK";
      this.#log.debug({ method, service: HealthService.typeName, code, peer: call.getPeer() }, "call");
      if (isProblem) callback(answered as Problem);
      else callback(null, answered);
    };
  }
}

/** A separate function, since a closure would keep the request in memory. */
function unknownStatus(): ServingStatus {
  return ServingStatus.SERVICE_UNKNOWN;
}

/** An error in the form that grpc-js sends. */
interface Problem {
  readonly code: status;
  readonly details: string;
}

const UNKNOWN: Problem = { code: status.NOT_FOUND, details: "no service of this name is served here" };

function problemOf(request: unknown): Problem | undefined {
  if (request !== MALFORMED) return undefined;
  const details = `the message is not a well-formed ${HealthCheckRequestSchema.typeName}`;
  return { code: status.INVALID_ARGUMENT, details };
}
