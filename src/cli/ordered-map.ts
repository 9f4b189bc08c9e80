/** The result for one input. Without an input, `error` is that of reading the inputs. */
export type Settled<In, Out> =
  | { readonly input: In; readonly output: Out }
  | { readonly input?: In; readonly error: unknown };

/**
 * Runs `work` on each input, up to `limit` at once, and yields results in the order of the inputs. After the first failure no
 * further work is started; work in flight is still awaited and yielded, because it takes effect.
 */
export async function* orderedMap<In, Out>(
  inputs: AsyncIterable<In>,
  limit: number,
  work: (input: In) => Promise<Out>,
): AsyncGenerator<Settled<In, Out>> {
  const iterator = inputs[Symbol.asyncIterator]();
  /** The work in flight, in the order of the inputs. */
  const running: Promise<Settled<In, Out>>[] = [];
  /** Resolves once the next input has been read. */
  let reading: Promise<undefined> | undefined;
  // The assertions keep the compiler from assuming that the functions below never assign these.
  let isOpen = true as boolean;
  let readFailure = undefined as Settled<In, Out> | undefined;

  async function run(input: In): Promise<Settled<In, Out>> {
    try {
      return { input, output: await work(input) };
    } catch (error) {
      isOpen = false;
      return { input, error };
    }
  }

  async function read(): Promise<undefined> {
    try {
      const { done, value } = await iterator.next();
      if (done) isOpen = false;
      else if (isOpen) running.push(run(value));
    } catch (error) {
      if (isOpen) readFailure = { error };
      isOpen = false;
    }
    reading = undefined;
  }

  for (;;) {
    if (isOpen && running.length < limit) reading ??= read();
    // Once no further input is wanted, a read in progress is not awaited: it may wait for an operator's next line.
    const events = [running[0], isOpen ? reading : undefined].filter((promise) => promise !== undefined);
    if (events.length === 0) break;
    const settled = await Promise.race(events);
    if (settled === undefined) continue;
    void running.shift();
    yield settled;
  }
  if (readFailure !== undefined) yield readFailure;
}
