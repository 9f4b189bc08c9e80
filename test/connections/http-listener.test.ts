import { expect } from "chai";
import { pathOf } from "../../src/connections/http-listener.ts";

describe("pathOf", () => {
  const PATHS: Record<string, readonly string[]> = {
    "/authz": [
      ...[
        "/authz",
        "/authz/",
        "//authz",
        "/authz//",
        "/authz?page=2",
        "/authz/?page=2",
        "/authz?",
        "/authz#top",
      ],
      ...[
        "/authz;jsessionid=1",
        "/%61uthz",
        "/authz%3Fpage=2",
        "/authz%2F",
        "/authz?next=/livez",
        "/authz?a=%",
      ],
      ...["http://127.0.0.1:9465/authz", "HTTPS://shop.example//authz/?page=2", "http://[::1]:1/authz"],
    ],
    "/authz/orders/7": ["/authz/orders/7", "/authz//orders/7/?page=2", "/authz%2Forders/7"],
    // `..` is not resolved, so that it neither leaves a path nor leads to one.
    "/authz/../livez": ["/authz/../livez"],
    "/livez/../authz": ["/livez/../authz", "/livez/%2e%2e/authz"],
    "/authz/%zz%ff%": ["/authz/%zz%ff%"],
    "/authzx": ["/authzx"],
    "/AUTHZ": ["/AUTHZ"],
    "/shop.example/authz": ["//shop.example/authz"],
    "/": ["", "/", "?x", "//", "http://shop.example", "http://shop.example?/authz"],
    "/*": ["*"],
  };
  for (const [path, targets] of Object.entries(PATHS)) {
    it(`returns ${path} for ${targets.length} spellings`, () => {
      for (const target of targets) expect([target, pathOf(target)]).to.deep.equal([target, path]);
    });
  }

  it("returns / for an empty target", () => {
    expect(pathOf(undefined)).to.equal("/");
  });
});
