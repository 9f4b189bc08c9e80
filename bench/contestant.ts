/** One way of doing the same thing. */
export interface Contestant {
  readonly name: string;
  /** The processes that serve it, for what a call costs them. Empty: this one does. */
  readonly pids: readonly number[];
  /** One call; rejects if its answer is not the right one. */
  call(): Promise<void>;
}
