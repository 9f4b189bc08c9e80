import { ClientError } from "../client/client-error.ts";
import { UsageError } from "./usage-error.ts";

/** Numbers above 2 follow sysexits.h; 130 is a shell's exit code for a program ended by Ctrl-C. */
export const EXIT = {
  ok: 0,
  /** `check` found a blacklisted token, or `migrate check` a schema that this version cannot use. */
  found: 1,
  usage: 2,
  unavailable: 69,
  failed: 70,
  interrupted: 130,
} as const;

export function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) return EXIT.usage;
  if (!(error instanceof ClientError)) return EXIT.failed;
  switch (error.code) {
    case "INVALID_ARGUMENT":
      return EXIT.usage;
    case "UNAVAILABLE":
    case "DEADLINE_EXCEEDED":
      return EXIT.unavailable;
    default:
      return EXIT.failed;
  }
}
