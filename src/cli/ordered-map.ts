/** The result for one input. An error without an input is a failure of the source of inputs. */
export type Settled<In, Out> =
  | { readonly input: In; readonly output: Out }
  | { readonly input?: In; readonly error: unknown };

type Event<In, Out> =
  | { readonly kind: "settled"; readonly settled: Settled<In, Out> }
  | { readonly kind: "input"; readonly input: In }
  | { readonly kind: "end" }
  | { readonly kind: "broken"; readonly error: unknown };

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
  const running: Promise<Event<In, Out>>[] = [];
  let next: Promise<Event<In, Out>> | undefined;
  let open = true;
  let broken: Settled<In, Out> | undefined;
  for (;;) {
    if (open && next === undefined && running.length < limit) next = read(iterator);
    const [first] = running;
    if (first === undefined && next === undefined) break;
    const event = await Promise.race([first, next].filter((promise) => promise !== undefined));
    switch (event.kind) {
      case "input":
        next = undefined;
        if (open) {
          running.push(
            run(event.input, work, () => {
              open = false;
            }),
          );
        }
        break;
      case "settled":
        void running.shift();
        yield event.settled;
        break;
      default:
        next = undefined;
        open = false;
        if (event.kind === "broken") broken = { error: event.error };
    }
    // A read in progress may wait for an operator's next line, so it is not awaited.
    if (!open) next = undefined;
  }
  if (broken !== undefined) yield broken;
}

async function read<In, Out>(iterator: AsyncIterator<In>): Promise<Event<In, Out>> {
  try {
    const { done, value } = await iterator.next();
    return done ? { kind: "end" } : { kind: "input", input: value };
  } catch (error) {
    return { kind: "broken", error };
  }
}

async function run<In, Out>(
  input: In,
  work: (input: In) => Promise<Out>,
  onFailure: () => void,
): Promise<Event<In, Out>> {
  try {
    return { kind: "settled", settled: { input, output: await work(input) } };
  } catch (error) {
    onFailure();
    return { kind: "settled", settled: { input, error } };
  }
}
