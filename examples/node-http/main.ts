import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { authenticate } from "../authenticate.ts";
import { type Freshness, trustFrom } from "../trust.ts";

/** What there is to ask for. Reading may rely on what was true a second ago; what moves money may not. */
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
  // A gateway would pass the request on from here.
  response.writeHead(200, { "content-type": "application/json" });
  response.end(JSON.stringify({ subject: result.claims.sub }));
});

server.listen(Number(process.env.PORT ?? 8080), "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});

// Requests under way still need the client: it goes last.
process.once("SIGTERM", () => server.close(() => trust.blacklist.close()));
