/**
 * The path of an HTTP request target, for servers with fixed paths: without scheme and host, query, parameters, percent-encoding of ASCII,
 * repeated slashes, and a slash at the end, since proxies add and change all of these. `..` has no special meaning, so that no path leads
 * above its prefix. "/" for an empty path.
 */
export function pathOf(target = ""): string {
  const path = target.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, "");
  const decoded = path.replace(/%([2-7][0-9a-f])/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  const [plain = ""] = decoded.split(/[?#;]/, 1);
  return `/${plain
    .split("/")
    .filter((segment) => segment !== "")
    .join("/")}`;
}
