import Fastify from "fastify";
import { trustFrom } from "../trust.ts";
import { authenticate } from "./authenticate.ts";

const trust = trustFrom(process.env);
const app = Fastify();
await authenticate(app, trust);

// Reading may rely on what was true a second ago; what moves money may not.
app.get("/orders", { config: { maxStalenessMs: 1000 } }, async ({ user }) => ({ subject: subjectOf(user) }));
app.post("/transfers", async ({ user }) => ({ subject: subjectOf(user) }));

function subjectOf(user: object | string): unknown {
  return (user as { sub?: unknown }).sub;
}

// Runs when no request is under way any more.
app.addHook("onClose", async () => trust.blacklist.close());
process.once("SIGTERM", () => void app.close());

console.log(
  `listening on ${await app.listen({ port: Number(process.env.PORT ?? 8080), host: "127.0.0.1" })}`,
);
