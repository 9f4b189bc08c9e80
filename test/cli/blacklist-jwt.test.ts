import { expect } from "chai";
import { type SecuredService, startSecured } from "./secured-service.ts";

const LOGOUT = "http://schemas.openid.net/event/backchannel-logout";

describe("blacklist --jwt", () => {
  let service: SecuredService;
  let common: string[];

  before(async () => {
    service = await startSecured();
    common = ["--address", service.plain, "--token", await service.token("alice")];
  });

  after(() => service.stop());

  async function run(options: readonly string[], stdin = "") {
    const { exitCode, stdout, stderr } = await service.run(["blacklist", ...options, ...common], { stdin });
    return { exitCode, stdout, stderr };
  }

  const check = async (jti: string) => (await service.run(["check", jti, ...common])).exitCode;

  it("revokes the token on standard input with a reason, and prints its jti and expiry", async () => {
    const token = await service.jwt({ jti: "stolen", exp: 1_900_000_000 });
    const { exitCode, stdout, stderr } = await run(
      ["--jwt", "-", "--reason", "laptop", "--output", "ndjson"],
      `\n  ${token} \r\n\n`,
    );
    const { jti, expires_at, reason, outcome } = JSON.parse(stdout);
    expect({
      exitCode,
      stderr,
      jti,
      expires_at,
      reason,
      outcome,
      check: await check("stolen"),
    }).to.deep.equal({
      exitCode: 0,
      stderr: "",
      jti: "stolen",
      expires_at: "2030-03-17T17:46:40.000Z",
      reason: "laptop",
      outcome: "created",
      check: 1,
    });
    expect(await run(["--jwt", "-"], token)).to.deep.equal({
      exitCode: 0,
      stdout:
        "JTI     OUTCOME              EXPIRES\n" +
        "stolen  already blacklisted  2030-03-17T17:46:40Z (in 75d)\n",
      stderr: "",
    });
  });

  it("reads the token from a file, ignoring text copied with it", async () => {
    const token = await service.jwt({ jti: "in a file" });
    const file = await service.write("token.txt", `Authorization: Bearer ${token}\n`);
    const { exitCode, stderr } = await run(["--jwt", file]);
    expect([exitCode, stderr, await check("in a file")]).to.deep.equal([0, "", 1]);
  });

  it("does not print the name of an unreadable file, which may be the token", async () => {
    const answers = [await run(["--jwt", service.file("none")]), await run(["--jwt", service.file(".")])];
    expect(answers).to.deep.equal(
      ["ENOENT", "EISDIR"].map((code) => ({
        exitCode: 2,
        stdout: "",
        stderr: `error: the file of --jwt cannot be read (${code}): give a file that contains the token, or - for standard input\n`,
      })),
    );
  });

  it("reports that a logout token is refused", async () => {
    const token = await service.jwt({ jti: "logout", events: { [LOGOUT]: {} } });
    const { exitCode, stderr } = await run(["--jwt", "-"], token);
    expect([exitCode, await check("logout")]).to.deep.equal([2, 0]);
    expect(stderr).to.match(
      /^error: the token: must be an access, refresh or ID token: .*\nNothing was stored\.\n$/,
    );
  });

  it("succeeds for an expired token without an entry", async () => {
    const token = await service.jwt({ jti: "over", exp: 1_500_000_000 });
    expect(await run(["--jwt", "-"], token)).to.deep.equal({
      exitCode: 0,
      stdout: "JTI   OUTCOME          EXPIRES\n" + "over  already expired  2017-07-14T02:40:00Z (12y ago)\n",
      stderr: "",
    });
    expect(await check("over")).to.equal(0);
  });

  it("reports the service's problem with the token", async () => {
    const answers = [
      await run(["--jwt", "-"], await service.jwt({})),
      await run(["--jwt", "-"], await service.jwt({ jti: "x", iss: "https://elsewhere.test" })),
      await run(["--jwt", "-"], `${await service.jwt({ jti: "x" })}AAAA`),
    ];
    expect(answers).to.deep.equal(
      [
        "must have a jti",
        "must have a known issuer",
        "has a signature that its issuer's keys do not verify",
      ].map((problem) => ({
        exitCode: 2,
        stdout: "",
        stderr: `error: the token: ${problem}\nNothing was stored.\n`,
      })),
    );
  });

  it("refuses invalid usage before sending anything", async () => {
    const token = await service.jwt({ jti: "kept" });
    const visible =
      "--jwt takes the name of a file that contains the token, or - for standard input: a token on the command line is visible to all users of this machine";
    const besideJti = "--jwt takes the jti from the token: omit the jti arguments";
    const cases: [options: string[], stdin: string, message: string][] = [
      [["--jwt", token], "", visible],
      [[`--jwt=${token}`], "", visible],
      [["--jwt", token, "-"], "", visible],
      [["--jwt", "-", "a"], token, besideJti],
      [["--jwt", "-", "-"], token, besideJti],
      [["--jwt", "-"], "", "standard input contains no token"],
      [["--jwt", "-"], " \n\n", "standard input contains no token"],
      [
        ["--jwt", "-"],
        `${token}\n${token}\n`,
        "standard input contains more than one line: --jwt takes one token",
      ],
    ];
    for (const [options, stdin, message] of cases) {
      expect(await run(options, stdin)).to.deep.equal({
        exitCode: 2,
        stdout: "",
        stderr: `error: ${message}\n`,
      });
    }
    expect(await run(["--jwt", "-", "--expires-at", "1h"], token)).to.deep.equal({
      exitCode: 2,
      stdout: "",
      stderr:
        "error: option '--jwt <file>' cannot be used with option '--expires-at <when>'\n" +
        "Use --help for usage.\n",
    });
    expect(await check("kept")).to.equal(0);
  });

  it("is suggested for a raw token argument, which is not repeated", async () => {
    const token = await service.jwt({ jti: "argument" });
    for (const argv of [
      ["blacklist", token, "--expires-at", "1h"],
      ["blacklist", `Bearer ${token}`, "--expires-at", "1h"],
      ["check", token],
      ["check", `Bearer  ${token}\n`],
    ]) {
      const { exitCode, stdout, stderr } = await service.run([...argv, ...common]);
      expect([exitCode, stdout]).to.deep.equal([2, ""]);
      expect(stderr).to.match(/^error: an argument is a raw token.*--jwt - for standard input\n/);
    }
  });

  it("is suggested for a raw token on standard input, which is not repeated", async () => {
    const token = await service.jwt({ jti: "input" });
    for (const command of [
      ["blacklist", "-", "--expires-at", "1h"],
      ["check", "-"],
    ]) {
      for (const [stdin, line] of [
        [`${token}\n`, 1],
        [`a\n ${token}\r\n`, 2],
        [`Bearer ${token}`, 1],
        [`${JSON.stringify({ jti: token })}\n`, 1],
      ] as const) {
        const { exitCode, stdout, stderr } = await service.run([...command, ...common], { stdin });
        expect([exitCode, stdout]).to.deep.equal([2, ""]);
        expect(stderr).to.match(
          new RegExp(`^error: line ${line} is a raw token.*--jwt - for standard input\n`),
        );
      }
    }
  });

  it("suggests the jti for a token without an expiry, such as an offline token", async () => {
    const { exitCode, stderr } = await run(
      ["--jwt", "-"],
      await service.jwt({ jti: "offline", exp: undefined }),
    );
    expect({ exitCode, last: stderr.trimEnd().split("\n").at(-1) }).to.deep.equal({
      exitCode: 2,
      last: "A token without exp, such as an offline token, is revoked by its jti: token-blacklist blacklist --expires-at <when> -- JTI",
    });
  });
});
