/**
 * The path that the target of an HTTP request names, for servers that tell requests apart by fixed paths: without scheme and
 * host, query, parameters, percent-encoding of ASCII, repeated slashes and a slash at the end. Proxies add and change all of these. `..` means
 * nothing here, so that nothing is above a path that begins rightly. "/" where nothing is left.
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
