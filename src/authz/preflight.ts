/**
 * Whether a request is a CORS preflight as browsers send it (Fetch Standard, "CORS-preflight request"): its method is OPTIONS, and it has
 * exactly one `Origin` and one `Access-Control-Request-Method`. It has no credentials; no body, since a body could hide another request; and
 * no header that some applications read as the method. `valuesOf` returns the values of a header by its lower-case name.
 */
export function isPreflight(
  method: string | undefined,
  valuesOf: (name: string) => readonly string[],
): boolean {
  const isSingle = (name: string) => {
    const [value, ...more] = valuesOf(name);
    return value !== undefined && value !== "" && more.length === 0;
  };
  return (
    method === "OPTIONS" &&
    isSingle("origin") &&
    isSingle("access-control-request-method") &&
    NEVER_SENT.every((name) => valuesOf(name).length === 0) &&
    valuesOf("content-length").every((length) => length === "0")
  );
}

const NEVER_SENT = [
  ...["authorization", "cookie"],
  ...["content-type", "transfer-encoding"],
  ...["x-http-method-override", "x-http-method", "x-method-override"],
];
