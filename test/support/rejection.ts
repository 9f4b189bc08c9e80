/** The reason with which `promise` rejects; throws if it resolves. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("expected a rejection");
}

/** The `reason` of the error with which `promise` rejects. */
export async function reasonOf(promise: Promise<unknown>): Promise<unknown> {
  return ((await rejection(promise)) as { reason?: unknown }).reason;
}

/** The error that `act` throws; throws if it throws none. */
export function thrownBy(act: () => unknown): unknown {
  try {
    act();
  } catch (error) {
    return error;
  }
  throw new Error("expected an error to be thrown");
}
