import type { Stage } from "../stage.ts";

/** Makes something go wrong, lets it last, and mends it: everything runs and nothing is in the way when it resolves. */
export type Fault = (stage: Stage) => Promise<void>;
