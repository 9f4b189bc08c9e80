import { type CanActivate, type ExecutionContext, HttpException, Inject, Injectable } from "@nestjs/common";
import { Reflector } from "@nestjs/core";
import type { Request, Response } from "express";
import type { JWTPayload } from "jose";
import { authenticate } from "../authenticate.ts";
import type { Trust } from "../trust.ts";

/** The injection token under which a module provides its {@link Trust}. */
export const TRUST = Symbol("Trust");

/** On a handler: the maximum staleness of its check in milliseconds. Without it: fully fresh. */
export const MaxStaleness = Reflector.createDecorator<number>();

/** A request that has passed the guard. */
export interface AuthenticatedRequest extends Request {
  claims: JWTPayload;
}

/** Lets requests with a valid token that is not revoked pass. */
@Injectable()
export class TokenGuard implements CanActivate {
  readonly #trust: Trust;
  readonly #reflector: Reflector;

  // Injected by explicit tokens, because tsx and esbuild emit no parameter types for Nest.
  constructor(@Inject(TRUST) trust: Trust, @Inject(Reflector) reflector: Reflector) {
    this.#trust = trust;
    this.#reflector = reflector;
  }

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const request = context.switchToHttp().getRequest<AuthenticatedRequest>();
    const maxStalenessMs = this.#reflector.get(MaxStaleness, context.getHandler());
    const result = await authenticate(request, this.#trust, { maxStalenessMs });
    if ("claims" in result) {
      request.claims = result.claims;
      return true;
    }
    const { status, headers } = result.refusal;
    context.switchToHttp().getResponse<Response>().set(headers);
    throw new HttpException({ statusCode: status }, status);
  }
}
