import { connect } from "../../src/client/connect.ts";

// Asks once, and forgets to close its client. What keeps the process alive then is a bug.

const [address = "", timeoutMs = ""] = process.argv.slice(2);
const client = connect({ address, timeoutMs: Number(timeoutMs), log: { warn() {} } });
process.stdout.write(
  await client.isBlacklisted("bad").then(
    (answer) => `${answer}`,
    ({ code }) => `${code}`,
  ),
);
