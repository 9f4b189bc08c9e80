import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { type Config, ConfigError, readConfig } from "../../src/config/config.ts";
import { createAuthority } from "../support/certificates.ts";
import { codeIn, tableRows } from "../support/markdown.ts";
import { freshFolder } from "../support/shared.ts";

const operations = readFileSync(
  join(fileURLToPath(new URL("../..", import.meta.url)), "docs/operations.md"),
  "utf8",
);
const DOCUMENTED = tableRows(operations, ["Variable", "Default"]).flatMap(([names]) => codeIn(names));

/** Accidental additions to a value, and the expected message. */
const ACCIDENTS: readonly (readonly [string, (value: string) => string, RegExp])[] = [
  ["a line break at its end", (value) => `${value}\n`, /ends with a line break/],
  ["a line break of Windows at its end", (value) => `${value}\r\n`, /ends with a line break/],
  ["a space at its end", (value) => `${value} `, /begins or ends with a space/],
  ["a space before it", (value) => ` ${value}`, /begins or ends with a space/],
  ["a tab at its end", (value) => `${value}\t`, /U\+0009/],
  ["a line break before it", (value) => `\n${value}`, /U\+000A/],
  ["a carriage return at its end", (value) => `${value}\r`, /U\+000D/],
  ["double quotes", (value) => `"${value}"`, /quotation mark/],
  ["single quotes", (value) => `'${value}'`, /quotation mark/],
  ["a quote that nothing closes", (value) => `"${value}`, /quotation mark/],
  ["typographic quotes", (value) => `\u201c${value}\u201d`, /quotation mark/],
  ["a byte order mark", (value) => `\ufeff${value}`, /U\+FEFF/],
  ["a non-breaking space", (value) => `${value}\u00a0`, /U\+00A0/],
  ["a zero-width space", (value) => `${value}\u200b`, /U\+200B/],
  ["a control character inside", (value) => `${value.slice(0, 2)}\u0007${value.slice(2)}`, /U\+0007/],
  ["NUL inside", (value) => `${value.slice(0, 2)}\0${value.slice(2)}`, /U\+0000/],
  ["bytes that were not UTF-8", (value) => `${value}\ufffd`, /U\+FFFD/],
];
/** Ignored between and around items. */
const SEPARATORS = ["space", "line break", "tab", "carriage return"];

describe("the settings", () => {
  let folder: string;
  /** A valid value of each. */
  let good: Record<string, string>;
  /** The further settings that a setting needs. */
  let needs: Record<string, readonly string[]>;

  const LISTS = ["AUTH_ALGORITHMS", "TOKEN_ALGORITHMS", "TOKEN_ISSUERS", "TLS_CLIENT_ROLES"];

  before(async () => {
    folder = await freshFolder();
    const written = async (name: string, text: string) => {
      await writeFile(join(folder, name), text);
      return join(folder, name);
    };
    const authority = await createAuthority();
    const { certificate, key } = await authority.issue([{ type: "dns", value: "a.test" }]);
    good = {
      DATABASE_URL: "mysql://app:pass%0Aword@db.test:3306/tokens",
      LISTEN_ADDRESS: "127.0.0.1:1",
      ADMIN_ADDRESS: "[::1]:2",
      EXPIRY_LEEWAY: "6m",
      PRUNE_INTERVAL: "2h",
      PRUNE_RETENTION: "1d",
      SHUTDOWN_GRACE: "40s",
      INDEX: "off",
      INDEX_MAX_ENTRIES: "1000",
      DATABASE_TLS: "on",
      DATABASE_CA_FILE: await written("database-ca.pem", authority.certificate),
      LOG_LEVEL: "debug",
      MAX_CONNECTIONS: "100",
      MAX_CONNECTIONS_PER_ADDRESS: "10",
      MAX_STREAMS_PER_CALLER: "3000",
      AUTH_JWKS_URL: "https://id.example/keys",
      AUTH_JWKS_FILE: await written("keys.json", '{"keys":[]}'),
      AUTH_ISSUER: "https://id.example",
      AUTH_AUDIENCE: "token-blacklist",
      AUTH_ALGORITHMS: "ES256 EdDSA",
      AUTH_CLOCK_TOLERANCE: "10s",
      AUTH_SCOPE_CLAIM: "scp",
      TLS_CERT_FILE: await written("own.pem", certificate),
      TLS_KEY_FILE: await written("own.key", key),
      TLS_CLIENT_CA_FILE: await written("clients-ca.pem", authority.certificate),
      TLS_CLIENT_CRL_FILE: await written("revoked.pem", await authority.revoke([])),
      TLS_CLIENT_ROLES: "DNS:gateway.internal=check,list DNS:b.internal=check",
      INSECURE: "yes",
      REFLECTION: "on",
      TOKEN_ISSUERS: "https://a.example=https://a.example/keys https://b.example=file:/etc/keys.json",
      TOKEN_ALGORITHMS: "RS256",
      MAX_TOKEN_LIFETIME: "1d",
      QUOTA_ROWS_PER_SECOND: "10",
      QUOTA_ROWS: "1000",
      AUDIT_LOG: "off",
      EXT_AUTHZ: "on",
      AUTHZ_ADDRESS: "127.0.0.1:3",
      AUTHZ_JTI_HEADER: "X-Token-Id",
      UNVERIFIED_BEARER: "on",
      MISSING_JTI: "allow",
      AUTHZ_PREFLIGHT: "allow",
      AUTHZ_METHOD_HEADER: "X-Forwarded-Method",
      AUTHZ_MAX_STALENESS: "1s",
    };
    const bearers = ["AUTH_ISSUER", "AUTH_AUDIENCE", "AUTH_JWKS_URL"];
    const tls = ["TLS_CERT_FILE", "TLS_KEY_FILE"];
    needs = {
      AUTH_JWKS_URL: bearers,
      AUTH_JWKS_FILE: ["AUTH_ISSUER", "AUTH_AUDIENCE"],
      AUTH_ISSUER: bearers,
      AUTH_AUDIENCE: bearers,
      AUTH_ALGORITHMS: bearers,
      AUTH_CLOCK_TOLERANCE: bearers,
      AUTH_SCOPE_CLAIM: bearers,
      TLS_CERT_FILE: tls,
      TLS_KEY_FILE: tls,
      TLS_CLIENT_CA_FILE: [...tls, "TLS_CLIENT_ROLES"],
      TLS_CLIENT_CRL_FILE: [...tls, "TLS_CLIENT_CA_FILE", "TLS_CLIENT_ROLES"],
      TLS_CLIENT_ROLES: [...tls, "TLS_CLIENT_CA_FILE"],
      AUTHZ_ADDRESS: ["AUTHZ_JTI_HEADER"],
      AUTHZ_JTI_HEADER: ["AUTHZ_ADDRESS"],
      UNVERIFIED_BEARER: ["EXT_AUTHZ"],
      MISSING_JTI: ["EXT_AUTHZ"],
      AUTHZ_PREFLIGHT: ["EXT_AUTHZ"],
      AUTHZ_METHOD_HEADER: ["AUTHZ_ADDRESS", "AUTHZ_JTI_HEADER", "AUTHZ_PREFLIGHT"],
      AUTHZ_MAX_STALENESS: ["EXT_AUTHZ"],
    };
  });

  function outcome(env: Record<string, string>): Config | readonly string[] {
    try {
      const config = readConfig(env);
      // The file of a value is a separate property.
      return { ...config, security: { ...config.security, certificateRolesFile: undefined } };
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      return error.problems;
    }
  }

  /** An environment with `name` set to `value`, and the settings it needs. */
  function withValue(name: string, value: string): Record<string, string> {
    const beside = (needs[name] ?? []).filter((other) => other !== name);
    return { ...Object.fromEntries(beside.map((other) => [other, good[other] as string])), [name]: value };
  }

  async function inFile(env: Record<string, string>, name: string): Promise<Record<string, string>> {
    const { [name]: value = "", ...rest } = env;
    const file = join(folder, `value-of-${name}`);
    await writeFile(file, value);
    return { ...rest, [`${name}_FILE`]: file };
  }

  it("are all covered here", () => {
    expect(Object.keys(good).sort()).to.deep.equal([...DOCUMENTED].sort());
    for (const name of DOCUMENTED) {
      expect(outcome(withValue(name, good[name] as string)), name).not.to.be.an("array");
    }
  });

  for (const name of DOCUMENTED) {
    it(`are refused by name if a value has accidental characters: ${name}`, async () => {
      const value = good[name] as string;
      const clean = outcome(withValue(name, value));
      for (const [accident, change, says] of ACCIDENTS) {
        const isHarmless =
          LISTS.includes(name) &&
          SEPARATORS.some((word) => accident.includes(word)) &&
          !/non-|zero-/.test(accident);
        const changed = withValue(name, change(value));
        const envs = [changed];
        // One line break at the end belongs to the file, not to the value.
        if (!name.endsWith("_FILE") && !/^a line break.*end$/.test(accident))
          envs.push(await inFile(changed, name));
        for (const env of envs) {
          const found = outcome(env);
          if (isHarmless) {
            expect(found, accident).to.deep.equal(clean);
            continue;
          }
          expect(found, accident).to.be.an("array");
          const [first = ""] = found as string[];
          expect(first.startsWith(`${name} `), `${accident}: ${first}`).to.equal(true);
          expect(first, accident).to.match(says);
          if (value.length > 5) expect(first, accident).not.to.include(value);
        }
      }
    });
  }

  it("are read from a file with at most one line break at its end, and not from an empty one", async () => {
    for (const name of DOCUMENTED.filter((one) => !one.endsWith("_FILE") && !LISTS.includes(one))) {
      const value = good[name] as string;
      const clean = outcome(withValue(name, value));
      for (const ending of ["", "\n", "\r\n"]) {
        expect(outcome(await inFile(withValue(name, `${value}${ending}`), name)), name).to.deep.equal(clean);
      }
      for (const text of ["", "\n", `${value}\n\n`]) {
        const found = outcome(await inFile(withValue(name, text), name));
        expect((found as string[])[0], name).to.match(new RegExp(`^${name} (cannot be read|ends with)`));
      }
    }
  });

  it("are not read from a file whose name has accidental characters", async () => {
    const env = await inFile(withValue("AUTH_ISSUER", "https://id.example"), "AUTH_ISSUER");
    for (const add of ["\n", " ", "\r"]) {
      const found = outcome(
        Object.fromEntries(
          Object.entries(env).map(([name, value]) => [
            name,
            name === "AUTH_ISSUER_FILE" ? value + add : value,
          ]),
        ),
      );
      expect((found as string[])[0]).to.match(
        /^AUTH_ISSUER cannot be read: the value of AUTH_ISSUER_FILE (ends|begins|contains)/,
      );
    }
  });

  it("refuse a space or a quote after sqlite: instead of creating another file", () => {
    for (const DATABASE_URL of [
      "sqlite: ./x.db",
      'sqlite:"./x.db"',
      "sqlite:'./x.db'",
      "sqlite://\u00a0x.db",
      "sqlite:./x.db\n",
    ]) {
      expect((outcome({ DATABASE_URL }) as string[])[0], DATABASE_URL).to.match(/^DATABASE_URL /);
    }
    const filename = "./my data/it's \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645.db";
    expect((outcome({ DATABASE_URL: `sqlite:${filename}` }) as Config).database).to.deep.equal({
      kind: "sqlite",
      filename,
    });
  });

  it("refuse unexpanded variables, parameters and comments instead of creating another file", () => {
    for (const path of [
      "~/x.db",
      "$HOME/x.db",
      "/data/\u0024{NAME}.db",
      "./x.db?mode=ro",
      "./x.db # of production",
    ]) {
      const problems = outcome({ DATABASE_URL: `sqlite:${path}` }) as string[];
      expect(problems[0], path).to.match(/^DATABASE_URL names a file whose path /);
    }
    for (const filename of ["./a#b~c.db", "./x~", "/data/5$.db", "./100%.db"]) {
      expect((outcome({ DATABASE_URL: `sqlite:${filename}` }) as Config).database).to.deep.equal({
        kind: "sqlite",
        filename,
      });
    }
  });

  it("accept a percent-encoded password with white space and quotes", () => {
    const { database } = outcome({ DATABASE_URL: "mysql://app:%20a%0A%22%27%20@db/tokens" }) as Config;
    expect(database).to.include({ password: " a\n\"' " });
  });

  it("accept a list with one item per line", () => {
    const TOKEN_ISSUERS =
      "\nhttps://a.example=https://a.example/keys\n  https://b.example=file:/etc/keys.json\n";
    expect(
      (outcome({ TOKEN_ISSUERS }) as Config).security.tokenIssuers.map(({ issuer }) => issuer),
    ).to.deep.equal(["https://a.example", "https://b.example"]);
    for (const item of [
      '"https://a.example=https://a.example/keys"',
      "https://a.example='https://a.example/keys'",
    ]) {
      expect(
        (outcome({ TOKEN_ISSUERS: `${item} https://b.example=file:/etc/keys.json` }) as string[])[0],
      ).to.match(/^TOKEN_ISSUERS .*quotation mark/);
    }
  });

  it("do not count NAME_FILE_FILE as NAME_FILE", () => {
    const env = { TLS_CERT_FILE_FILE: "x", TLS_KEY_FILE_FILE: "x" };
    expect((outcome(env) as Config).security.tls).to.equal(undefined);
    expect((outcome({ ...env, TLS_CERT_FILE: good.TLS_CERT_FILE as string }) as string[])[0]).to.match(
      /need each other/,
    );
  });
});
