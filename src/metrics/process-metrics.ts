import { collectDefaultMetrics, Registry } from "prom-client";

let registry: Registry | undefined;

/**
 * The library's metrics of the Node.js process, created once for all services in the process: its observers of the event loop and of
 * garbage collection cannot be stopped, and keep alive everything in the same registry.
 */
export function processMetrics(): Registry {
  if (registry === undefined) {
    registry = new Registry();
    collectDefaultMetrics({ register: registry });
  }
  return registry;
}
