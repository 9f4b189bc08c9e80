/**
 * Whether a request is a CORS preflight as browsers send it (Fetch Standard, "CORS-preflight request"): OPTIONS, with one `Origin` and one
 * `Access-Control-Request-Method`, without credentials, without a body, which could hide a request, and without a header that makes some
 * applications treat it as another method. `valuesOf` returns the values of a header by its lower-case name.
 */
export function isPreflight(
  method: string | undefined,
  valuesOf: (name: string) => readonly string[],
): boolean {
  const isOne = (name: string) => {
    const [value, ...more] = valuesOf(name);
    return value !== undefined && value !== "" && more.length === 0;
  };
  return (
    method === "OPTIONS" &&
    isOne("origin") &&
    isOne("access-control-request-method") &&
    NEVER_SENT.every((name) => valuesOf(name).length === 0) &&
    valuesOf("content-length").every((length) => length === "0")
  );
}

const NEVER_SENT = [
  ...["authorization", "cookie"],
  ...["content-type", "transfer-encoding"],
  ...["x-http-method-override", "x-http-method", "x-method-override"],
];
