/**
 * Whether a request is a CORS preflight, as browsers send it on behalf of a page before the request that the page asked for (Fetch
 * Standard, "CORS-preflight request"): OPTIONS, with one `Origin` and one `Access-Control-Request-Method`, without credentials, without
 * a body, in which a request could be hidden, and without a header by which some applications would take it for another method. `valuesOf` gives the values of a header by its name in lower
 * case.
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
