import type { Command } from "commander";
import type { MigrateAction } from "../start/migrate.ts";
import type { CommandContext } from "./io.ts";

const ACTIONS: Readonly<Record<MigrateAction, string>> = {
  up: "apply all pending migrations",
  status: "show which migrations have run",
  check: "exit with 0 only if the schema is up to date",
  unlock: "release the lock that an interrupted migration left behind",
};

const HELP = `
The database is set by DATABASE_URL, as for serve.

Examples:
  token-blacklist migrate status
  DATABASE_URL=mysql://tb:secret@db:3306/tb token-blacklist migrate up
`;

export function addMigrateCommand(program: Command, { io, exit }: CommandContext): void {
  const migrate = program
    .command("migrate")
    .summary("prepare the database for this version")
    .description("Applies or inspects the migrations of the database's schema.")
    .addHelpText("after", HELP);
  for (const [action, summary] of Object.entries(ACTIONS)) {
    migrate
      .command(action)
      .description(summary)
      .action(async () => exit(await io.migrate(action as MigrateAction)));
  }
}
