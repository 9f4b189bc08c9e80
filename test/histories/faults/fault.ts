import type { Stage } from "../stage.ts";

/** Injects a fault, lets it last, and repairs it: when it resolves, everything runs without interference. */
export type Fault = (stage: Stage) => Promise<void>;
