import { isCertainlyUndone } from "./explain-error.ts";
import type { Session } from "./session.ts";
import type { InputToken } from "./token-input.ts";
import { UsageError } from "./usage-error.ts";

export interface FailedBatch {
  /** Absent if the input itself could not be read. */
  readonly input?: readonly InputToken[];
  readonly error: unknown;
}

/** Collects the failures of batches. Only the first is reported to the operator, because the others mostly repeat it. */
export class BatchFailures {
  readonly #session: Session;
  #exitCode: number | undefined;
  #undone = true;

  constructor(session: Session) {
    this.#session = session;
  }

  /** The exit code of the first failure; undefined if there is none. */
  get exitCode(): number | undefined {
    return this.#exitCode;
  }

  /** Whether no failed batch can have changed anything. */
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
