import { expect } from "chai";
import { type SecuredService, startSecured } from "./secured-service.ts";

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

  it("revokes the one token on standard input, with a reason, and shows what it says of itself", async () => {
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

  it("succeeds with a token that has expired, for which nothing is left to do", async () => {
    const token = await service.jwt({ jti: "over", exp: 1_500_000_000 });
    expect(await run(["--jwt", "-"], token)).to.deep.equal({
      exitCode: 0,
      stdout: "JTI   OUTCOME          EXPIRES\n" + "over  already expired  2017-07-14T02:40:00Z (12y ago)\n",
      stderr: "",
    });
    expect(await check("over")).to.equal(0);
  });

  it("passes on what the service finds wrong with the token", async () => {
    const answers = [
      await run(["--jwt", "-"], await service.jwt({})),
      await run(["--jwt", "-"], await service.jwt({ jti: "x", iss: "https://elsewhere.test" })),
      await run(["--jwt", "-"], `${await service.jwt({ jti: "x" })}AAAA`),
    ];
    expect(answers).to.deep.equal(
      [
        "must have a jti",
        "must be of an issuer that is known here",
        "has a signature that is not its issuer's",
      ].map((problem) => ({
        exitCode: 2,
        stdout: "",
        stderr: `error: the token: ${problem}\nNothing was stored.\n`,
      })),
    );
  });

  it("refuses what it cannot do, before anything is sent", async () => {
    const token = await service.jwt({ jti: "kept" });
    const visible =
      "--jwt takes nothing but - (standard input): on the command line every user of this machine would see the token";
    const besideJti = "--jwt reads which token it is from the token: name no jti beside it";
    const cases: [options: string[], stdin: string, message: string][] = [
      [["--jwt", token], "", visible],
      [[`--jwt=${token}`], "", visible],
      [["--jwt", token, "-"], "", visible],
      [["--jwt", "-", "a"], token, besideJti],
      [["--jwt", "-", "-"], token, besideJti],
      [["--jwt", "-"], "", "standard input holds no token"],
      [["--jwt", "-"], " \n\n", "standard input holds no token"],
      [
        ["--jwt", "-"],
        `${token}\n${token}\n`,
        "standard input holds more than one line: --jwt takes one token",
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
        "error: option '--jwt <->' cannot be used with option '--expires-at <when>'\n" +
        "Add --help for how to use it.\n",
    });
    expect(await check("kept")).to.equal(0);
  });

  it("is what to use for a raw token that is given as an argument, which is not shown again", async () => {
    const token = await service.jwt({ jti: "argument" });
    for (const argv of [
      ["blacklist", token, "--expires-at", "1h"],
      ["check", token],
    ]) {
      const { exitCode, stdout, stderr } = await service.run([...argv, ...common]);
      expect([exitCode, stdout]).to.deep.equal([2, ""]);
      expect(stderr).to.match(/raw token.*--jwt -/);
    }
  });
});
