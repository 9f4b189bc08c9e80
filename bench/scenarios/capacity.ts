import type { Ground } from "../stage/ground.ts";
import { checkCapacityScenarios } from "./capacity-checks.ts";
import { entryCapacityScenario } from "./capacity-entries.ts";
import { pruneCapacityScenario } from "./capacity-pruning.ts";
import { revocationCapacityScenarios } from "./capacity-revocations.ts";
import type { CapacityScenario } from "./scenario.ts";

export function capacityAlone({ large }: { large: boolean }): CapacityScenario<Ground>[] {
  return [entryCapacityScenario({ large })];
}

/** Pruning comes before revocations, which grow the table. */
export function capacityOnStage(): CapacityScenario[] {
  return [...checkCapacityScenarios(), pruneCapacityScenario(), ...revocationCapacityScenarios()];
}
