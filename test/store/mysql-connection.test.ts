import { expect } from "chai";
import mysql from "mysql2/promise";
import { parseDatabaseUrl } from "../../src/store/database-url.ts";
import { connectionOptions, type MysqlAddress } from "../../src/store/mysql-address.ts";
import { MysqlConnection } from "../../src/store/mysql-connection.ts";
import { rejection } from "../support/rejection.ts";
import { freshDatabase } from "../support/shared.ts";
import { until } from "../support/until.ts";

describe("a separate connection", () => {
  it("that was closed while idle fails with the cause, not with the driver's state, and is replaced", async () => {
    const { url, dispose } = await freshDatabase();
    const admin = await mysql.createConnection(url);
    const connection = new MysqlConnection(connectionOptions(parseDatabaseUrl(url) as MysqlAddress));
    try {
      const [[id]] = (await connection.query("SELECT CONNECTION_ID()")) as [[number]];
      const isThere = async () => {
        const [rows] = await admin.query(`SELECT ID FROM information_schema.PROCESSLIST WHERE ID = ${id}`);
        return (rows as unknown[]).length > 0;
      };
      await admin.query(`KILL ${id}`);
      await until(async () => !(await isThere()), {
        withinMs: 5000,
        what: "the server has closed the connection",
      });
      const { message } = (await rejection(connection.query("SELECT 1"))) as Error;
      expect(message).to.match(/connection lost|ECONNRESET|was killed/i);
      expect(await connection.query("SELECT 1")).to.deep.equal([[1]]);
    } finally {
      connection.close();
      admin.destroy();
      await dispose();
    }
  });
});
