/** What `promise` is rejected with; throws when it is not. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("expected a rejection");
}

/** The `reason` of what `promise` is rejected with. */
export async function reasonOf(promise: Promise<unknown>): Promise<unknown> {
  return ((await rejection(promise)) as { reason?: unknown }).reason;
}

/** What `act` throws; throws itself when nothing is. */
export function thrownBy(act: () => unknown): unknown {
  try {
    act();
  } catch (error) {
    return error;
  }
  throw new Error("expected an error to be thrown");
}
