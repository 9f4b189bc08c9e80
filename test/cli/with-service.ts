import { type Script, type ScriptedService, startScripted } from "../client/scripted-service.ts";
import { type CliResult, type CliSetup, runCli } from "./run-cli.ts";

/** Runs one command against a scripted service. */
export async function runAgainst(
  script: Script,
  argv: readonly string[],
  setup: CliSetup = {},
): Promise<CliResult & { readonly service: ScriptedService }> {
  const service = await startScripted(script);
  try {
    const result = await runCli([...argv, "--address", service.address], setup);
    return { ...result, service };
  } finally {
    service.stop();
  }
}
