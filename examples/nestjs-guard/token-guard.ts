import { type CanActivate, type ExecutionContext, HttpException, Inject, Injectable } from "@nestjs/common";
import { Reflector } from "@nestjs/core";
import type { Request, Response } from "express";
import type { JWTPayload } from "jose";
import { authenticate } from "../authenticate.ts";
import type { Trust } from "../trust.ts";

/** The token under which a module provides its {@link Trust}. */
export const TRUST = Symbol("Trust");

/** On a handler: it may rely on what was true so many milliseconds ago. Without it: fully fresh. */
export const MaxStaleness = Reflector.createDecorator<number>();

/** A request that has passed. */
export interface AuthenticatedRequest extends Request {
  claims: JWTPayload;
}

/** Lets requests pass whose token is good and not revoked. */
@Injectable()
export class TokenGuard implements CanActivate {
  readonly #trust: Trust;
  readonly #reflector: Reflector;

  // Named one by one: tsx and esbuild emit no types of parameters for Nest to go by.
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
