import type {
  Server,
  ServerUnaryCall,
  ServerWritableStream,
  sendUnaryData,
  UntypedHandleCall,
} from "@grpc/grpc-js";
import { HealthImplementation, type ServingStatus } from "grpc-health-check";
import type { Logger } from "pino";
import type { Serving } from "../serving.ts";

/** Ends the name under which it is said whether what is known to be blacklisted is answered as such. */
const POSITIVES = "/positives";

/**
 * `grpc.health.v1`: Check, Watch and List, for the whole server (`""`), for each of its services, and for what is left of one while
 * the database is away.
 */
export class Health {
  readonly #health: HealthImplementation;
  readonly #statuses: Map<string, ServingStatus>;
  readonly #watches = new Set<ServerWritableStream<unknown, unknown>>();

  constructor(serviceNames: readonly string[]) {
    const names = ["", ...serviceNames, ...serviceNames.map((name) => name + POSITIVES)];
    this.#statuses = new Map(names.map((name) => [name, "NOT_SERVING"]));
    this.#health = new HealthImplementation(Object.fromEntries(this.#statuses));
  }

  set(serving: Serving): void {
    for (const [name, before] of this.#statuses) {
      const isEnough = name.endsWith(POSITIVES) ? serving !== "nothing" : serving === "everything";
      const status = isEnough ? "SERVING" : "NOT_SERVING";
      // Whoever watches is told of changes, not of repetitions.
      if (status === before) continue;
      this.#statuses.set(name, status);
      this.#health.setStatus(name, status);
    }
  }

  /** The library's handlers know no log, and its Watch streams no end: both are added on the way to the server. */
  addTo(server: Pick<Server, "addService">, log: Logger): void {
    const registry = {
      addService: (
        definition: Parameters<Server["addService"]>[0],
        handlers: Record<string, UntypedHandleCall>,
      ) => {
        server.addService(definition, {
          check: logged("Check", handlers.check as UnaryHandler, log),
          list: logged("List", handlers.list as UnaryHandler, log),
          watch: (call: ServerWritableStream<unknown, unknown>) => {
            log.debug({ method: "Watch", service: "grpc.health.v1.Health", peer: call.getPeer() }, "call");
            this.#watches.add(call);
            call.once("cancelled", () => this.#watches.delete(call));
            (handlers.watch as (call: ServerWritableStream<unknown, unknown>) => void)(call);
          },
        });
      },
    };
    this.#health.addToServer(registry as unknown as Server);
  }

  /** Ends every Watch: none does so by itself, and a server cannot stop while one is open. */
  endWatches(): void {
    for (const call of this.#watches) call.end();
  }
}

type UnaryHandler = (call: ServerUnaryCall<unknown, unknown>, callback: sendUnaryData<unknown>) => void;

function logged(method: string, handler: UnaryHandler, log: Logger): UnaryHandler {
  return (call, callback) => {
    handler(call, (error, ...answer) => {
      const code = error === null ? "OK" : (error as { code?: number }).code;
      log.debug({ method, service: "grpc.health.v1.Health", code, peer: call.getPeer() }, "call");
      callback(error, ...answer);
    });
  };
}
