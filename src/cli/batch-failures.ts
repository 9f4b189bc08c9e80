import { isCertainlyUndone } from "./explain-error.ts";
import type { Session } from "./session.ts";
import type { InputToken } from "./token-input.ts";
import { UsageError } from "./usage-error.ts";

export interface FailedBatch {
  /** Absent where the input itself could not be read. */
  readonly input?: readonly InputToken[];
  readonly error: unknown;
}

/** What the batches that failed come to. The operator is told of the first: the others mostly repeat it. */
export class BatchFailures {
  readonly #session: Session;
  #exitCode: number | undefined;
  #undone = true;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Of the first failure; undefined while there is none. */
  get exitCode(): number | undefined {
    return this.#exitCode;
  }

  /** None of the batches that failed can have changed anything. */
  get undone(): boolean {
    return this.#undone;
  }

  add({ input, error }: FailedBatch): void {
    if (!(error instanceof UsageError || isCertainlyUndone(error))) this.#undone = false;
    this.#exitCode ??= this.#session.fail(
      error,
      input?.map(({ origin }) => origin),
    );
  }
}
