import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect } from "chai";
import type { PrivateMariadb } from "../support/mariadb.ts";
import { ownMariadb } from "../support/own-mariadb.ts";

const MOCHA = fileURLToPath(new URL("../../node_modules/mocha/bin/mocha.js", import.meta.url));
const CONTRACT = fileURLToPath(new URL("store.test.ts", import.meta.url));

// The process in one zone, the database in another: one with daylight saving, one with a quarter of an hour.
const ZONES = [
  { process: "America/New_York", database: "+12:45" },
  { process: "Pacific/Chatham", database: "-05:00" },
];

describe("the store's contract", function () {
  this.timeout(120_000);
  let server: PrivateMariadb;

  afterEach(async () => {
    await server?.stop();
  });

  for (const zones of ZONES) {
    it(`holds with the process in ${zones.process} and the database at ${zones.database}`, async function () {
      server = await ownMariadb(this, { extraArgs: [`--default-time-zone=${zones.database}`] });
      const env = { PATH: process.env.PATH, TZ: zones.process, TEST_MYSQL_URL: server.url() };
      const { stdout } = await promisify(execFile)(process.execPath, [MOCHA, CONTRACT], { env });
      expect(stdout.trimEnd().split("\n").at(-1)).to.match(/^\d\d+ passed, 0 failed$/);
    });
  }
});
