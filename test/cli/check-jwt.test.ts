import { expect } from "chai";
import { unsignedJwt } from "../support/unsigned-jwt.ts";
import { type SecuredService, startSecured } from "./secured-service.ts";

const DECODED =
  "The token was decoded, not verified: the result applies to its jti, and does not say whether the token is genuine.\n";
const LOGOUT = "http://schemas.openid.net/event/backchannel-logout";

describe("check --jwt", () => {
  let service: SecuredService;
  let common: string[];

  before(async () => {
    service = await startSecured();
    common = ["--address", service.plain, "--token", await service.token("alice")];
    await service.run(["blacklist", "stolen", "--expires-at", "1h", ...common]);
  });

  after(() => service.stop());

  async function run(options: readonly string[], stdin = "") {
    const { exitCode, stdout, stderr } = await service.run(["check", ...options, ...common], { stdin });
    return { exitCode, stdout, stderr };
  }

  it("checks the jti of the token on standard input, and notes that it was not verified", async () => {
    for (const [before, after] of [
      ["", ""],
      ["\n  ", " \r\n\n"],
      ["Bearer ", "\n"],
      ["authorization: bearer   ", "\n"],
    ]) {
      expect(
        await run(["--jwt", "-"], `${before}${await service.jwt({ jti: "stolen" })}${after}`),
      ).to.deep.equal({
        exitCode: 1,
        stdout: "JTI     VERDICT\nstolen  blacklisted\n",
        stderr: DECODED,
      });
    }
    expect(await run(["--jwt", "-"], await service.jwt({ jti: "live" }))).to.deep.equal({
      exitCode: 0,
      stdout: "JTI   VERDICT\nlive  not blacklisted\n",
      stderr: DECODED,
    });
  });

  it("reads the token from a file, including a jti that looks like an option", async () => {
    const file = await service.write("token.txt", `${await service.jwt({ jti: "-" })}\n`);
    expect(await run(["--jwt", file], "stolen\n")).to.deep.equal({
      exitCode: 0,
      stdout: "JTI  VERDICT\n-    not blacklisted\n",
      stderr: DECODED,
    });
  });

  it("accepts a token of any issuer, with any signature, expired or not", async () => {
    const token = unsignedJwt({ iss: "https://elsewhere.test", jti: "stolen", exp: 1 }, { signature: "" });
    expect((await run(["--jwt", "-"], token)).exitCode).to.equal(1);
  });

  it("refuses a token without a usable jti, without repeating it", async () => {
    const event = "its events claim makes it a logout token or another security event";
    const cases: [token: string, problem: string][] = [
      [await service.jwt({}), "has no jti: it cannot be blacklisted"],
      [await service.jwt({ jti: 12345 as never }), "has a malformed jti: it is a number, and must be text"],
      [await service.jwt({ jti: "" }), "has a malformed jti: it must not be empty"],
      [
        await service.jwt({ jti: await service.jwt({ jti: "stolen" }) }),
        "has a malformed jti: it must be a token's jti claim, not the token itself",
      ],
      ["a.b.c.d.e", "must be signed, not encrypted"],
      ["opaque", "must be a signed JWT: three parts with dots between them"],
      [
        unsignedJwt({ jti: "live" }, { typ: "logout+jwt" }),
        "must be an access, refresh or ID token: the typ in its header is of another kind",
      ],
      [
        await service.jwt({ jti: "live", events: { [LOGOUT]: {} } }),
        `must be an access, refresh or ID token: ${event}`,
      ],
    ];
    for (const [token, problem] of cases) {
      expect(await run(["--jwt", "-"], token)).to.deep.equal({
        exitCode: 2,
        stdout: "",
        stderr: `error: the token ${problem}\n`,
      });
    }
  });

  it("refuses input other than one token before any check", async () => {
    const token = await service.jwt({ jti: "live" });
    const visible =
      "--jwt takes the name of a file that contains the token, or - for standard input: a token on the command line is visible to all users of this machine";
    const cases: [options: string[], stdin: string, message: string][] = [
      [["--jwt", token], "", visible],
      [[`--jwt=Bearer ${token}`], "", visible],
      [["--jwt", "-", "a"], token, "--jwt takes the jti from the token: omit the jti arguments"],
      [["--jwt", "-"], " \n\n", "standard input contains no token"],
      [
        ["--jwt", "-"],
        `${token}\n${token}\n`,
        "standard input contains more than one line: --jwt takes one token",
      ],
      [["--jwt", await service.write("empty.txt", "")], "", "the file of --jwt contains no token"],
    ];
    for (const [options, stdin, message] of cases) {
      expect(await run(options, stdin)).to.deep.equal({
        exitCode: 2,
        stdout: "",
        stderr: `error: ${message}\n`,
      });
    }
  });
});
