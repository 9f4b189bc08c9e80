import type { Command } from "commander";
import type { CommandContext } from "./io.ts";

const HELP = `
It is configured by the environment alone:
  DATABASE_URL      sqlite:./data/token-blacklist.db  or mysql://user:password@host:3306/database
  LISTEN_ADDRESS    127.0.0.1:50051                   where it answers gRPC
  ADMIN_ADDRESS     127.0.0.1:9464                    where it answers probes and shows metrics
  EXPIRY_LEEWAY     5m    how long past its expiry a token stays blacklisted
  PRUNE_INTERVAL    1h    how often it deletes what has run out; 0: never
  PRUNE_RETENTION   0     how long it keeps what has run out
  SHUTDOWN_GRACE    30s   how long calls under way may take after SIGTERM
  INDEX             on    off: checks ask the database each time instead of memory
  INDEX_MAX_ENTRIES 20000000  how many entries memory may hold
  LOG_LEVEL         info  trace, debug, info, warn, error, fatal or silent

It listens on this machine alone and knows no callers until told otherwise.
Elsewhere it starts only with TLS (TLS_CERT_FILE, TLS_KEY_FILE) and callers that
it knows: by token (AUTH_ISSUER, AUTH_AUDIENCE, AUTH_JWKS_URL) or by certificate
(TLS_CLIENT_CA_FILE, TLS_CLIENT_ROLES). docs/security.md turns it on step by
step; docs/operations.md lists all settings.

Durations are written 30s, 5m, 1h. NAME_FILE names a file to read NAME from,
which keeps a password out of the environment.

Examples:
  token-blacklist serve
  LISTEN_ADDRESS=127.0.0.1:50061 ADMIN_ADDRESS=127.0.0.1:9474 token-blacklist serve
  DATABASE_URL_FILE=/run/secrets/database-url token-blacklist serve
`;

export function addServeCommand(program: Command, { io, exit }: CommandContext): void {
  program
    .command("serve")
    .summary("run the service")
    .description("Runs the service until SIGTERM or Ctrl-C.")
    .addHelpText("after", HELP)
    .action(async () => exit(await io.serve()));
}
