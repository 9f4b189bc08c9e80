import { Command, CommanderError } from "commander";
import { withoutRawTokens } from "../raw-token.ts";
import { escapeLine } from "../text/terminal-text.ts";
import { addBlacklistCommand } from "./blacklist-command.ts";
import { addCheckCommand } from "./check-command.ts";
import { EXIT, messageOf } from "./errors.ts";
import { addExportCommand } from "./export-command.ts";
import { addHealthCommand } from "./health-command.ts";
import { hintFor } from "./hints.ts";
import { addImportCommand } from "./import-command.ts";
import type { CliIo, CommandContext, Screen } from "./io.ts";
import { addListCommand } from "./list-command.ts";
import { addMigrateCommand } from "./migrate-command.ts";
import { addPruneCommand } from "./prune-command.ts";
import { addServeCommand } from "./serve-command.ts";

const HELP = `
Exit code:
  0    done; check: none of the tokens is blacklisted
  1    check: at least one token is blacklisted
  2    wrong usage or input
  69   the service is unavailable
  70   any other failure
  130  interrupted by Ctrl-C

Examples:
  token-blacklist serve
  token-blacklist blacklist 3f2b8c10 --expires-at 1h --reason "laptop stolen"
  token-blacklist check 3f2b8c10
  token-blacklist list --created-after 1h
`;

/** Creates the commands of `token-blacklist`. */
export function createProgram(context: CommandContext): Command {
  const { io } = context;
  const program = new Command("token-blacklist");
  program
    .description(
      "Records which JSON Web Tokens have been revoked before they expire. " +
        "serve runs the service; health checks whether it is serving; blacklist, check, list, prune, export and import call it over gRPC.",
    )
    .version(io.version, "-V, --version", "show the version")
    // A -V after a command is not an option of the program: a jti may begin with it.
    .enablePositionalOptions()
    .helpOption("-h, --help", "show this help")
    .helpCommand("help [command]", "show the help of a command")
    .showHelpAfterError("Use --help for usage.")
    .addHelpText("after", HELP)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      // Commander's messages quote the arguments.
      writeErr: (text) => void io.stderr.write(withoutSecrets(text).split("\n").map(escapeLine).join("\n")),
      getOutHelpWidth: () => widthOf(io.stdout),
      getErrHelpWidth: () => widthOf(io.stderr),
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    });
  addServeCommand(program, context);
  addMigrateCommand(program, context);
  addHealthCommand(program, context);
  addBlacklistCommand(program, context);
  addCheckCommand(program, context);
  addListCommand(program, context);
  addPruneCommand(program, context);
  addExportCommand(program, context);
  addImportCommand(program, context);
  return program;
}

/** Runs the command in `argv` (without node and script). Resolves to the exit code; never rejects. */
export async function run(argv: readonly string[], io: CliIo): Promise<number> {
  // Without listeners, a reader that closes its end would end the process with a stack trace.
  io.stderr.on("error", () => {});
  let writeError: NodeJS.ErrnoException | undefined;
  io.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") writeError ??= error;
  });
  const exitCode = await execute(argv, io);
  // A stream reports a failed write a moment later.
  await new Promise((resolve) => setImmediate(resolve));
  // The exit code of a failure takes precedence.
  if (writeError === undefined || exitCode > EXIT.found) return exitCode;
  io.stderr.write(`error: standard output cannot be written (${writeError.code ?? writeError.message})\n`);
  return EXIT.failed;
}

async function execute(argv: readonly string[], io: CliIo): Promise<number> {
  let exitCode: number = EXIT.ok;
  const program = createProgram({
    io,
    exit: (code) => {
      exitCode = code;
    },
  });
  try {
    await program.parseAsync([...argv], { from: "user" });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return EXIT.ok;
      const hint = hintFor(error, argv);
      if (hint !== undefined) io.stderr.write(`${escapeLine(hint)}\n`);
      return EXIT.usage;
    }
    io.stderr.write(`error: ${escapeLine(messageOf(error))}\n`);
    return EXIT.failed;
  }
}

/** Redacts raw tokens, and the value of a mistyped option, which may be a secret. */
function withoutSecrets(error: string): string {
  return withoutRawTokens(error.replace(/^(error: unknown option '[^=']*=)[^\n]*/, "$1...'"));
}

function widthOf({ columns }: Screen): number {
  return Math.min(columns ?? 80, 100);
}
