/** Invalid arguments or input of the operator. The message says what is expected. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}
