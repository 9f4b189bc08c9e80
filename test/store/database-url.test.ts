import { expect } from "chai";
import { parseDatabaseUrl } from "../../src/store/database-url.ts";

describe("parseDatabaseUrl", () => {
  const FILES = {
    "sqlite:tokens.db": "tokens.db",
    "sqlite:./data/tokens.db": "./data/tokens.db",
    "sqlite:../tokens.db": "../tokens.db",
    "sqlite:/var/lib/tokens.db": "/var/lib/tokens.db",
    "sqlite:///var/lib/tokens.db": "/var/lib/tokens.db",
    "sqlite:with space and ünïcode.db": "with space and ünïcode.db",
  };
  for (const [text, filename] of Object.entries(FILES)) {
    it(`reads ${text} as a file`, () => {
      expect(parseDatabaseUrl(text)).to.deep.equal({ kind: "sqlite", filename });
    });
  }

  const SERVER = { kind: "mysql", host: "db", port: 3306, user: "root", password: "", database: "tokens" };
  const SERVERS = {
    "mysql://db/tokens": SERVER,
    "mariadb://db/tokens": SERVER,
    "mysql://app@db/tokens": { ...SERVER, user: "app" },
    "mysql://app:secret@db:3307/tokens": { ...SERVER, user: "app", password: "secret", port: 3307 },
    "mysql://:secret@db/tokens": { ...SERVER, password: "secret" },
    "mysql://a%40b:%2F%3F%23%25%3A@db/tokens": { ...SERVER, user: "a@b", password: "/?#%:" },
    "mysql://app:p%C3%A4ss@db/tokens": { ...SERVER, user: "app", password: "päss" },
    "mysql://app:a:b@db/tokens": { ...SERVER, user: "app", password: "a:b" },
    "mysql://[::1]:3307/tokens": { ...SERVER, host: "::1", port: 3307 },
    "mysql://10.0.0.7/tokens%20two": { ...SERVER, host: "10.0.0.7", database: "tokens two" },
  };
  for (const [text, address] of Object.entries(SERVERS)) {
    it(`reads ${text} as a server`, () => {
      expect(parseDatabaseUrl(text)).to.deep.equal(address);
    });
  }

  const REFUSED = {
    "": /^must begin with sqlite: or mysql:/,
    "tokens.db": /^must begin with/,
    "postgres://db/tokens": /^must begin with/,
    "mysql:db/tokens": /^must begin with/,
    " mysql://db/tokens": /^must begin with/,
    "sqlite:": /^must name a file/,
    "sqlite://": /^must name a file/,
    "sqlite::memory:": /^must name a file/,
    "mysql://db": /^must name one database/,
    "mysql://db/": /^must name one database/,
    "mysql://db/a/b": /^must name one database/,
    "mysql://db/a%2Fb": /^must name one database/,
    "mysql:///tokens": /^names no host/,
    "mysql://db:65536/tokens": /^is not a URL/,
    "mysql://db:x/tokens": /^is not a URL/,
    "mysql://db/tokens?charset=latin1": /^takes no parameters/,
    "mysql://db/tokens#x": /^takes no parameters/,
    "mysql://app:%@db/tokens": /^has a % that does not begin/,
    "mysql://db/%ff": /^has a % that does not begin/,
  };
  for (const [text, problem] of Object.entries(REFUSED)) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      expect(() => parseDatabaseUrl(text)).to.throw(RangeError, problem);
    });
  }
});
