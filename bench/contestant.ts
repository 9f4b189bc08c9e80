/** One way of doing the same task. */
export interface Contestant {
  readonly name: string;
  /** The processes that serve the calls, for the CPU time per call. Empty: this process. */
  readonly pids: readonly number[];
  /** One call; rejects if the answer is wrong. */
  call(): Promise<void>;
}
