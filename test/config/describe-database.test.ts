import { expect } from "chai";
import { describeDatabase } from "../../src/config/config.ts";
import { parseDatabaseUrl } from "../../src/store/database-url.ts";

describe("describeDatabase", () => {
  it("describes the location without user and password", () => {
    const urls = [
      "sqlite:./data/x.db",
      "mysql://tb:c4n4ry@db.internal/tokens",
      "mariadb://tb:c4n4ry@[::1]:3307/t",
    ];
    expect(urls.map((url) => describeDatabase(parseDatabaseUrl(url)))).to.deep.equal([
      { database: "sqlite", file: "./data/x.db" },
      { database: "mysql", host: "db.internal:3306", schema: "tokens" },
      { database: "mysql", host: "[::1]:3307", schema: "t" },
    ]);
  });
});
