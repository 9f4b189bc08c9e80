import Fastify from "fastify";
import { trustFrom } from "../trust.ts";
import { authenticate } from "./authenticate.ts";

const trust = trustFrom(process.env);
const app = Fastify();
await authenticate(app, trust);

// Reads accept a check that is up to a second old; moving money requires a fully fresh one.
app.get("/orders", { config: { maxStalenessMs: 1000 } }, async ({ user }) => ({ subject: subjectOf(user) }));
app.post("/transfers", async ({ user }) => ({ subject: subjectOf(user) }));

function subjectOf(user: object | string): unknown {
  return (user as { sub?: unknown }).sub;
}

// Runs when no request is in flight any more.
app.addHook("onClose", async () => trust.blacklist.close());
process.once("SIGTERM", () => void app.close());

console.log(
  `listening on ${await app.listen({ port: Number(process.env.PORT ?? 8080), host: "127.0.0.1" })}`,
);
