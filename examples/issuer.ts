import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage } from "node:http";
import { createLocalJWKSet, exportJWK, generateKeyPair, jwtVerify, SignJWT } from "jose";
import { connect } from "token-blacklist-client";
import { refusalAfter } from "./refusal.ts";

// An auth service for trying the gateways. Its key lives as long as the process, and every user may log in.
const { ISSUER = "http://127.0.0.1:8090", AUDIENCE = "orders", BLACKLIST_ADDRESS } = process.env;
const { privateKey, publicKey } = await generateKeyPair("ES256");
const keySet = { keys: [{ ...(await exportJWK(publicKey)), alg: "ES256", use: "sig" }] };
const keys = createLocalJWKSet(keySet);
const blacklist = connect({ address: BLACKLIST_ADDRESS ?? "127.0.0.1:50051" });

function login(): Promise<string> {
  return new SignJWT({ sub: "you" })
    .setProtectedHeader({ alg: "ES256" })
    .setIssuer(ISSUER)
    .setAudience(AUDIENCE)
    .setJti(randomUUID())
    .setExpirationTime("10m")
    .sign(privateKey);
}

/** Once it resolves, no gateway accepts the token in a fully fresh check. Idempotent. */
async function logout({ headers }: IncomingMessage): Promise<void> {
  const token = (headers.authorization ?? "").replace(/^Bearer /, "");
  const { payload } = await jwtVerify(token, keys, { issuer: ISSUER, requiredClaims: ["exp", "jti"] });
  const { jti = "", exp = 0 } = payload;
  await blacklist.blacklist([{ jti, expiresAt: exp * 1000, reason: "logged out" }]);
}

const server = createServer(async (request, response) => {
  try {
    switch (`${request.method} ${request.url}`) {
      case "GET /keys":
        response.end(JSON.stringify(keySet));
        return;
      case "POST /login":
        response.end(await login());
        return;
      case "POST /logout":
        await logout(request);
        response.writeHead(204).end();
        return;
      default:
        response.writeHead(404).end();
    }
  } catch (error) {
    // After 503 the token may still be valid: the user has to log out again.
    const { status, headers } = refusalAfter(error);
    response.writeHead(status, headers).end();
  }
});
server.listen(Number(new URL(ISSUER).port), "127.0.0.1", () => console.log(`listening on ${ISSUER}`));
process.once("SIGTERM", () => server.close(() => blacklist.close()));
