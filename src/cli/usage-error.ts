/** What the operator typed, or fed in, is wrong. Its message says what would be right. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}
