import type { Command } from "commander";
import type { CommandContext } from "./io.ts";

const HELP = `
Settings come from environment variables:
  DATABASE_URL      sqlite:./data/token-blacklist.db  or mysql://user:password@host:3306/database
  LISTEN_ADDRESS    127.0.0.1:50051                   address for gRPC calls
  ADMIN_ADDRESS     127.0.0.1:9464                    address for probes and metrics
  EXPIRY_LEEWAY     5m    how long past its expiry a token stays blacklisted
  PRUNE_INTERVAL    1h    how often expired entries are deleted; 0: never
  PRUNE_RETENTION   0     how long expired entries are kept
  SHUTDOWN_GRACE    30s   how long calls in flight may take after SIGTERM
  INDEX             on    off: every check queries the database, not memory
  INDEX_MAX_ENTRIES 20000000  maximum number of entries in memory
  LOG_LEVEL         info  trace, debug, info, warn, error, fatal or silent

By default it listens on loopback, and does not authenticate callers. On any
other address it starts only with TLS (TLS_CERT_FILE, TLS_KEY_FILE) and with
authentication by token (AUTH_ISSUER, AUTH_AUDIENCE, AUTH_JWKS_URL) or by
certificate (TLS_CLIENT_CA_FILE, TLS_CLIENT_ROLES). docs/security.md explains
the steps; docs/operations.md lists all settings.

Durations are written 30s, 5m, 1h. NAME_FILE is a file from which NAME is read,
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
