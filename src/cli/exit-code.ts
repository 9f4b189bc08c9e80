import { ClientError } from "../client/client-error.ts";
import { UsageError } from "./usage-error.ts";

/** The numbers above 2 follow sysexits.h; 130 is what a shell says of a program that Ctrl-C ended. */
export const EXIT = {
  ok: 0,
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
