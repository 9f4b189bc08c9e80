import type { Observer } from "../../src/blacklist/observer.ts";

/** Ignores all events. */
export const UNOBSERVED: Observer = {
  committed() {},
  followed() {},
  lookedUp() {},
  fellBack() {},
  pruned() {},
  pruneEnded() {},
  startedOver() {},
};
