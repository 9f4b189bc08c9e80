import { connect } from "../../src/client/connect.ts";

// Makes one check, and does not close its client. The process must end nevertheless.

const [address = "", timeoutMs = ""] = process.argv.slice(2);
const client = connect({ address, timeoutMs: Number(timeoutMs), log: { warn() {} } });
process.stdout.write(
  await client.isBlacklisted("bad").then(
    (answer) => `${answer}`,
    ({ code }) => `${code}`,
  ),
);
