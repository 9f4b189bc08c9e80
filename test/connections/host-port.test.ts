import { expect } from "chai";
import { formatHostPort, parseHostPort } from "../../src/connections/host-port.ts";

describe("parseHostPort", () => {
  const ADDRESSES = {
    "127.0.0.1:50051": { host: "127.0.0.1", port: 50051 },
    "localhost:0": { host: "localhost", port: 0 },
    "[::1]:65535": { host: "::1", port: 65_535 },
    "[::ffff:127.0.0.1]:1": { host: "::ffff:127.0.0.1", port: 1 },
    "db-1.internal:3306": { host: "db-1.internal", port: 3306 },
  };

  for (const [text, address] of Object.entries(ADDRESSES)) {
    it(`reads ${text}, and formatHostPort writes it back`, () => {
      expect([parseHostPort(text), formatHostPort(address)]).to.deep.equal([address, text]);
    });
  }

  for (const text of [
    "",
    ":",
    "host",
    "host:",
    ":50051",
    "::1:50051",
    "[]:1",
    "[::1]",
    "[::1]50051",
    "[host]:1",
    "[::1%eth0]:1",
    "host:65536",
    "host:99999",
    "host:-1",
    "host:+1",
    "host:1.0",
    "host:0x1",
    "host:123456",
    "ho st:1",
    " host:1",
    "host:1 ",
    "host:1\n",
    "http://host:1",
    "host:1/",
  ]) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      expect(() => parseHostPort(text)).to.throw(RangeError, /^must be host:port, such as /);
    });
  }
});
