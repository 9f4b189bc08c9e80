type Offers = Readonly<Record<string, (given: never) => unknown>>;

/** In a gateway's process: runs what the bench requests, one at a time, once `start` is done. */
export function offer(start: () => Promise<void>, offers: Offers): void {
  async function answer({ what, given }: { what: string; given: unknown }): Promise<void> {
    try {
      const does = what === "start" ? start : (offers[what] as (given: unknown) => unknown);
      process.send?.({ result: await does(given) });
    } catch (error) {
      process.send?.({ result: undefined, error: String(error) });
    }
  }
  process.on("message", (message: { what: string; given: unknown }) => void answer(message));
  process.once("disconnect", () => process.exit());
}

/** The input that the process was started with. */
export function given<G>(): G {
  return JSON.parse(process.argv[2] as string) as G;
}
