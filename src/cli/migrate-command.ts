import type { Command } from "commander";
import type { CommandContext, MigrateAction } from "./io.ts";

const ACTIONS: Readonly<Record<MigrateAction, string>> = {
  up: "bring the schema up to date",
  status: "show which migrations have run",
  check: "exit with 0 only if the schema is up to date",
  unlock: "release the lock that an interrupted migration left behind",
};

const HELP = `
The database is named by DATABASE_URL, as for serve.

Examples:
  token-blacklist migrate status
  DATABASE_URL=mysql://tb:secret@db:3306/tb token-blacklist migrate up
`;

export function addMigrateCommand(program: Command, { io, exit }: CommandContext): void {
  const migrate = program
    .command("migrate")
    .summary("prepare the database for this version")
    .description("Brings the database's schema to what this version needs, or tells whether it is.")
    .addHelpText("after", HELP);
  for (const [action, summary] of Object.entries(ACTIONS)) {
    migrate
      .command(action)
      .description(summary)
      .action(async () => exit(await io.migrate(action as MigrateAction)));
  }
}
