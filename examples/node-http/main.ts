import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { authenticate } from "../authenticate.ts";
import { type Freshness, trustFrom } from "../trust.ts";

/** The routes. Reads accept a check that is up to a second old; moving money requires a fully fresh one. */
const ROUTES: Readonly<Record<string, Freshness>> = {
  "GET /orders": { maxStalenessMs: 1000 },
  "POST /transfers": {},
};

const trust = trustFrom(process.env);

const server = createServer(async (request, response) => {
  const freshness = ROUTES[`${request.method} ${request.url}`];
  if (freshness === undefined) {
    response.writeHead(404).end();
    return;
  }
  const result = await authenticate(request, trust, freshness);
  if ("refusal" in result) {
    response.writeHead(result.refusal.status, result.refusal.headers).end();
    return;
  }
  // A gateway would forward the request here.
  response.writeHead(200, { "content-type": "application/json" });
  response.end(JSON.stringify({ subject: result.claims.sub }));
});

server.listen(Number(process.env.PORT ?? 8080), "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});

// Closed last, because requests in flight still need the client.
process.once("SIGTERM", () => server.close(() => trust.blacklist.close()));
