import type { CliIo } from "./io.ts";

/** Resolves after `ms`, or at once when the operator interrupts. */
export function pause({ clock, signal }: Pick<CliIo, "clock" | "signal">, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      cancel();
      signal.removeEventListener("abort", end);
      resolve();
    };
    const cancel = clock.schedule(ms, end);
    signal.addEventListener("abort", end);
  });
}
