import { AssertionError } from "chai";
import { ClientError } from "../../src/client/client-error.ts";

/** The ClientError that `call` fails with. */
export async function failure(call: Promise<unknown>): Promise<ClientError> {
  try {
    await call;
  } catch (error) {
    if (error instanceof ClientError) return error;
    throw error;
  }
  throw new AssertionError("the call should have failed");
}
