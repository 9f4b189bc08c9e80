import { collectDefaultMetrics, Registry } from "prom-client";

let registry: Registry | undefined;

/**
 * What the client library says of the Node process, once for all services in it: its observers of the event loop and of garbage
 * collection cannot be ended, and would keep alive whatever shares a registry with them.
 */
export function processMetrics(): Registry {
  if (registry === undefined) {
    registry = new Registry();
    collectDefaultMetrics({ register: registry });
  }
  return registry;
}
