/** The operator's arguments or input are wrong. The message says what would be right. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}
