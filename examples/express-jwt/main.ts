import type { AddressInfo } from "node:net";
import express from "express";
import type { Request } from "express-jwt";
import { trustFrom } from "../trust.ts";
import { authenticate } from "./authenticate.ts";

const trust = trustFrom(process.env);
const app = express();

// Reads accept a check that is up to a second old; moving money requires a fully fresh one.
app.get("/orders", authenticate(trust, { maxStalenessMs: 1000 }), (request: Request, response) => {
  response.json({ subject: request.auth?.sub });
});
app.post("/transfers", authenticate(trust), (request: Request, response) => {
  response.json({ subject: request.auth?.sub });
});

const server = app.listen(Number(process.env.PORT ?? 8080), "127.0.0.1", (error) => {
  if (error) throw error;
  console.log(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});

// Closed last, because requests in flight still need the client.
process.once("SIGTERM", () => server.close(() => trust.blacklist.close()));
