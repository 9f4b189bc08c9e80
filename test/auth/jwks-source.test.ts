import { expect } from "chai";
import { parseJwksUrl } from "../../src/auth/jwks-source.ts";
import { thrownBy } from "../support/rejection.ts";

describe("parseJwksUrl", () => {
  for (const url of [
    "https://id.example/.well-known/jwks.json",
    "https://id.example:8443/keys?tenant=7",
    "http://localhost:8080/keys",
    "http://127.0.0.1/keys",
    "http://127.8.9.10/keys",
    "http://[::1]:8080/keys",
  ]) {
    it(`accepts ${url}`, () => {
      expect(parseJwksUrl(url)).to.deep.equal({ kind: "url", url });
    });
  }

  const REFUSED = {
    "http://id.example/keys": "must begin with https:// (http:// only for loopback addresses)",
    "http://10.0.0.7/keys": "must begin with https:// (http:// only for loopback addresses)",
    "http://0.0.0.0/keys": "must begin with https:// (http:// only for loopback addresses)",
    "http://localhost.evil.example/keys": "must begin with https:// (http:// only for loopback addresses)",
    "http://127.0.0.1.evil.example/keys": "must begin with https:// (http:// only for loopback addresses)",
    "http://[::ffff:10.0.0.7]/keys": "must begin with https:// (http:// only for loopback addresses)",
    "file:///etc/keys.json": "must begin with https:// (http:// only for loopback addresses)",
    "ftp://localhost/keys": "must begin with https:// (http:// only for loopback addresses)",
    'data:application/json,{"keys":[]}': "must begin with https:// (http:// only for loopback addresses)",
    "https://app:c4n4ry@id.example/keys": "must not contain a user name or a password",
    "https://c4n4ry@id.example/keys": "must not contain a user name or a password",
    "http://127.0.0.1@evil.example/keys": "must not contain a user name or a password",
    "id.example/keys": "must be a URL",
    "https://": "must be a URL",
    "/c4n4ry": "must be a URL",
    "": "must be a URL",
  };
  for (const [url, message] of Object.entries(REFUSED)) {
    it(`refuses ${JSON.stringify(url)} without repeating it`, () => {
      const error = thrownBy(() => parseJwksUrl(url)) as Error;
      expect(error).to.be.instanceOf(RangeError).and.include({ message });
      expect(error.cause).to.equal(undefined);
    });
  }
});
