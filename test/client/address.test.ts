import { expect } from "chai";
import { addressProblem } from "../../src/client/address.ts";
import type { ClientError } from "../../src/client/client-error.ts";
import { clientCredentials, connect } from "../../src/client/connect.ts";
import { createRpcClient } from "../../src/client/rpc-client.ts";
import { thrownBy } from "../support/rejection.ts";

const FINE = [
  ...["127.0.0.1:50051", "localhost:50051", "[::1]:50051", "blacklist.internal:1", "token_blacklist:65535"],
  ...["dns:///blacklist.internal:50051", "dns://10.0.0.53/blacklist.internal:50051", "dns:blacklist:50051"],
  ...["unix:/run/blacklist.sock", "unix:///run/blacklist.sock", "ipv4:10.0.0.1:1,10.0.0.2:1", "dns:50051"],
];

const WRONG: readonly (readonly [address: unknown, says: string])[] = [
  [undefined, "is missing"],
  [null, "is missing"],
  ["", "is missing"],
  [50051, "must be text"],
  [{}, "must be text"],
  ["localhost", "has no port"],
  ["127.0.0.1", "has no port"],
  ["blacklist.internal", "has no port"],
  ["[::1]", "has no port"],
  ["::1", "in brackets"],
  ["::1:50051", "in brackets"],
  ["fe80::1:50051", "in brackets"],
  ["http://blacklist.internal:50051", "without a scheme"],
  ["https://blacklist.internal:50051", "without a scheme"],
  ["HTTPS://blacklist.internal:50051/", "without a scheme"],
  ["grpc://blacklist.internal:50051", "without a scheme"],
  ["grpcs://user:hunter2@blacklist.internal:50051", "without a scheme"],
  ["xds:///blacklist", "without a scheme"],
  ["user:hunter2@blacklist.internal:50051", "without a user"],
  ["blacklist.internal:50051/", 'remove "/"'],
  ["blacklist.internal:50051/path", 'remove "/"'],
  ["blacklist.internal:50051?a=b", 'remove "\\?"'],
  ["blacklist.internal:0", "1 to 65535"],
  ["blacklist.internal:65536", "1 to 65535"],
  ["blacklist.internal:500511", "1 to 65535"],
  ["blacklist.internal:NaN", "1 to 65535"],
  ["blacklist.internal:undefined", "1 to 65535"],
  ["blacklist.internal:", "1 to 65535"],
  ["blacklist.internal:-1", "1 to 65535"],
  ["blacklist.internal:5e4", "1 to 65535"],
  [":50051", "host:port"],
  ["undefined:50051", "variable"],
  ["10.0.0:50051", "four numbers"],
  ["10.0.0.256:50051", "four numbers"],
  ["a.internal:50051,b.internal:50051", "array"],
  [" blacklist.internal:50051", "space"],
  ["blacklist.internal:50051 ", "space"],
  ["blacklist internal:50051", "space"],
  ["blacklist.internal:50051\n", "line break"],
  ["blacklist.internal:50051\r\n", "line break"],
  ["\ufeffblacklist.internal:50051", "invisible"],
  ["blacklist.\u200binternal:50051", "invisible"],
  ['"blacklist.internal:50051"', "quotation mark"],
  ["dns:///blacklist.internal", "the port is not optional"],
  ["dns:///blacklist.internal:50051/x", "the port is not optional"],
  ["dns:///", "the port is not optional"],
  ["unix:", "path"],
  ["ipv4:10.0.0.1:1,10.0.0.2", "has no port"],
];

describe("an address", () => {
  it("is accepted as host:port, as dns:, and as a socket's path", () => {
    expect(FINE.map((address) => [address, addressProblem(address)])).to.deep.equal(
      FINE.map((address) => [address, undefined]),
    );
    for (const address of FINE) createRpcClient({ address }).close();
  });

  for (const [address, says] of WRONG) {
    it(`is refused when a client is created, by the name of its field, without being repeated: ${JSON.stringify(address)}`, () => {
      const log = { warn() {} };
      for (const [make, field] of [
        [() => connect({ address: address as never, log }), "address"],
        [() => connect({ address: ["127.0.0.1:1", address as never], log }), "address[1]"],
        [() => createRpcClient({ address: address as never }), "address"],
      ] as const) {
        const error = thrownBy(make) as ClientError;
        expect([error.name, error.code, error.violations.map((one) => one.field)]).to.deep.equal([
          "ClientError",
          "INVALID_ARGUMENT",
          [field],
        ]);
        expect(error.message).to.match(new RegExp(`^address(\\[1\\])?: .*${says}`));
        expect(error.message).not.to.match(/blacklist\.internal|hunter2/);
      }
    });
  }
});

describe("options of a client", () => {
  const violationsOf = (act: () => unknown) =>
    (thrownBy(act) as ClientError).violations.map(({ field, description }) => `${field} ${description}`);
  const odd = (value: unknown) => value as never;

  it("that are misspelt are refused, with the likely name", () => {
    const address = "127.0.0.1:1";
    expect([
      violationsOf(() => connect(odd({ adress: address }))),
      violationsOf(() => connect(odd({ address, timeoutMS: 5, onUnavaliable: "deny", failfast: true }))),
      violationsOf(() => connect(odd({ address, tls: true }))),
      violationsOf(() => clientCredentials(odd({ tsl: true }))),
      violationsOf(() => clientCredentials(odd({ tls: { caCert: Buffer.of() } }))),
      violationsOf(() => clientCredentials(odd({ tls: false }))),
    ]).to.deep.equal([
      [
        "adress is no option: was address meant?",
        "address is missing: give host:port, such as 127.0.0.1:50051",
      ],
      [
        "timeoutMS is no option: was timeoutMs meant?",
        "onUnavaliable is no option: was onUnavailable meant?",
        "failfast is no option: was failFast meant?",
      ],
      [
        "tls is no option: the options are address, credentials, mode, timeoutMs, onUnavailable, failFast, maxCopyEntries, metadata, metrics, log",
      ],
      ["tsl is no option: was tls meant?"],
      ["tls.caCert is no option: was cert meant?"],
      ["tls must be true, or an object with any of ca, cert and key"],
    ]);
  });

  it("that are of the wrong type are refused", () => {
    const address = "127.0.0.1:1";
    const fields = (options: unknown) =>
      (thrownBy(() => connect(odd(options))) as ClientError).violations.map(({ field }) => field);
    expect([
      fields(undefined),
      fields("127.0.0.1:1"),
      fields({ address, credentials: { token: "a" }, failFast: "yes", metrics: 7, log: {}, metadata: {} }),
      fields({ address, credentials: null, log: null }),
    ]).to.deep.equal([
      ["options"],
      ["options"],
      ["credentials", "failFast", "metadata", "metrics", "log"],
      ["credentials", "log"],
    ]);
  });
});
