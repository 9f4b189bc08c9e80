import { settingProblem } from "../text/setting-text.ts";
import type { MysqlAddress } from "./mysql-address.ts";

export type DatabaseAddress =
  | { readonly kind: "sqlite"; readonly filename: string }
  | ({ readonly kind: "mysql" } & MysqlAddress);

/**
 * Parses `sqlite:./path/to/file.db` or `mysql://user:password@host:3306/database` (`mariadb://` means the same). Throws a
 * RangeError that names the problem and never repeats the password.
 */
export function parseDatabaseUrl(text: string): DatabaseAddress {
  if (text.startsWith("sqlite:")) {
    const filename = text.slice("sqlite:".length).replace(/^\/\//, "");
    if (filename === "" || filename === ":memory:")
      throw new RangeError("must name a file: sqlite:./data/token-blacklist.db");
    const problem = settingProblem(filename) ?? literalProblem(filename);
    if (problem !== undefined) throw new RangeError(`names a file whose path ${problem}`);
    return { kind: "sqlite", filename };
  }
  if (!/^(mysql|mariadb):\/\//.test(text)) throw new RangeError("must begin with sqlite: or mysql://");
  // URL silently drops tabs and line ends, which would change a password that contains one.
  if (/\s/.test(text)) throw new RangeError("must not contain white space (percent-encode it)");
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new RangeError(
      "is not a URL of the form mysql://user:password@host:3306/database (special characters in it are percent-encoded)",
    );
  }
  const database = decode(url.pathname.slice(1));
  if (url.hostname === "") throw new RangeError("names no host");
  if (database === "" || database.includes("/"))
    throw new RangeError("must name one database after the host: mysql://host:3306/database");
  if (url.search !== "" || url.hash !== "")
    throw new RangeError("takes no parameters after the database's name");
  return {
    kind: "mysql",
    host: url.hostname.replace(/^\[|\]$/g, ""),
    port: url.port === "" ? 3306 : Number(url.port),
    user: decode(url.username) || "root",
    password: decode(url.password),
    database,
  };
}

/**
 * Describes what a shell would expand, or another program would cut off. Here the path is taken literally, so it would name a new, empty
 * database. Undefined: there is nothing of that kind.
 */
function literalProblem(filename: string): string | undefined {
  if (/^~|\$\{|\$\w/.test(filename))
    return "contains ~ or a variable, which is not expanded here: write the path in full";
  if (filename.includes("?")) return "contains a question mark: remove it, since there are no parameters";
  if (/\s#/.test(filename)) return "contains a comment, which would be a part of the path: remove it";
  return undefined;
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new RangeError("has a % that does not begin valid percent-encoded UTF-8");
  }
}
