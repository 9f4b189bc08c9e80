import { Server, ServerCredentials, type ServerDuplexStream, type sendUnaryData } from "@grpc/grpc-js";
import { createConnection, type PrepareStatementInfo } from "mysql2";
import {
  type BlacklistRequest,
  type BlacklistResponse,
  BlacklistResult_Outcome,
  type IsBlacklistedRequest,
  type IsBlacklistedResponse,
  TokenBlacklist,
  Verdict,
  type WatchRequest,
  type WatchResponse,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { serviceDefinition } from "../../src/protobuf/service-definition.ts";
import { liveJti } from "../tokens.ts";

// A process that does nothing but gRPC: the same messages, decoded and encoded, and nothing in between. No service in this language
// can answer faster. Its arguments are the port to listen on, the number of live tokens among which it looks jtis up (0: no
// look-ups), and the URL of the database that it reads before each answer to a `sync`.

const REVISION = "123456-0123456789abcdef";

const [port, tokens] = process.argv.slice(2, 4).map(Number) as [number, number];
const databaseUrl = process.argv[4] as string;
const live = new Set(Array.from({ length: tokens }, (_, index) => liveJti(index)));

function isBlacklisted(
  { request }: { request: IsBlacklistedRequest },
  callback: sendUnaryData<Partial<IsBlacklistedResponse>>,
): void {
  callback(null, {
    verdicts: request.jtis.map(() => Verdict.NOT_BLACKLISTED),
    revision: REVISION,
  });
}

function lookUp(
  { request }: { request: IsBlacklistedRequest },
  callback: sendUnaryData<Partial<IsBlacklistedResponse>>,
): void {
  callback(null, {
    verdicts: request.jtis.map((jti) => (live.has(jti) ? Verdict.BLACKLISTED : Verdict.NOT_BLACKLISTED)),
    revision: REVISION,
  });
}

function blacklist(
  { request }: { request: BlacklistRequest },
  callback: sendUnaryData<Partial<BlacklistResponse>>,
): void {
  const createdAt = { seconds: BigInt(Math.floor(Date.now() / 1000)), nanos: 0 };
  const results = request.tokens.map(({ token, expiresAt, reason }) => ({
    token: { jti: token.value ?? "", expiresAt, createdAt, reason, revokedBy: "" },
    outcome: BlacklistResult_Outcome.CREATED,
  }));
  callback(null, { results, revision: REVISION } as unknown as Partial<BlacklistResponse>);
}

const database = createConnection({ uri: databaseUrl, rowsAsArray: true });
const revision = await new Promise<PrepareStatementInfo>((resolve, reject) => {
  const sql = "SELECT revision FROM blacklist_state WHERE id = ?";
  database.prepare(sql, (error, statement) => (error ? reject(error) : resolve(statement)));
});

/** One read per `sync`, whose result is ignored. */
function watch(stream: ServerDuplexStream<WatchRequest, Partial<WatchResponse>>): void {
  stream.on("data", ({ request }: WatchRequest) => {
    if (request.case !== "sync") return;
    const { id } = request.value;
    revision.execute([1], (error) => {
      if (error) throw error;
      stream.write({ response: { case: "synced", value: { id, revision: REVISION } } } as WatchResponse);
    });
  });
  stream.on("end", () => stream.end());
}

const server = new Server({ "grpc.enable_channelz": 0 });
server.addService(serviceDefinition(TokenBlacklist), {
  isBlacklisted: tokens === 0 ? isBlacklisted : lookUp,
  blacklist,
  watch,
});
server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error) => {
  if (error) throw error;
});
