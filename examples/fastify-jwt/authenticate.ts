import { KeyObject } from "node:crypto";
import fastifyJwt, { type TokenOrHeader } from "@fastify/jwt";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { BAD_TOKEN, NO_TOKEN, type Refusal, refusalAfter } from "../refusal.ts";
import type { Freshness, Trust } from "../trust.ts";

declare module "fastify" {
  // Settings of a route in its `config`.
  interface FastifyContextConfig extends Freshness {}
}

/** Requires a valid token that is not revoked on every route of `app` added from now on; its claims are in `request.user`. */
export async function authenticate(
  app: FastifyInstance,
  { issuer, audience, algorithms, keys, blacklist }: Trust,
): Promise<void> {
  await app.register(fastifyJwt, {
    decode: { complete: true },
    secret: async (_request: FastifyRequest, token: TokenOrHeader) => {
      const key = await keys("header" in token ? token.header : token);
      return KeyObject.from(key).export({ type: "spki", format: "pem" });
    },
    verify: { algorithms, allowedIss: issuer, allowedAud: audience, requiredClaims: ["exp", "jti"] },
    trusted: async ({ routeOptions }, { jti, exp }) => {
      const { maxStalenessMs } = routeOptions.config;
      return !(await blacklist.isBlacklisted(jti, { maxStalenessMs, expiresAt: exp * 1000 }));
    },
  });
  app.addHook("onRequest", async (request, reply) => {
    try {
      await request.jwtVerify();
    } catch (error) {
      const { status, headers } = refusalOf(error);
      return reply.code(status).headers(headers).send();
    }
  });
}

/** Error codes of @fastify/jwt, and of fast-jwt below it, most of whose errors @fastify/jwt passes on unchanged. */
const OF_THE_TOKEN = /^FA?ST_JWT_/;
const OF_ITS_ABSENCE = ["FST_JWT_NO_AUTHORIZATION_IN_HEADER", "FST_JWT_BAD_REQUEST"];

function refusalOf(error: unknown): Refusal {
  const code = String((error as { code?: unknown }).code);
  if (OF_ITS_ABSENCE.includes(code)) return NO_TOKEN;
  return OF_THE_TOKEN.test(code) ? BAD_TOKEN : refusalAfter(error);
}
