import {
  Controller,
  Get,
  HttpCode,
  Inject,
  Module,
  type OnApplicationShutdown,
  Post,
  Req,
} from "@nestjs/common";
import { APP_GUARD } from "@nestjs/core";
import { type Trust, trustFrom } from "../trust.ts";
import { type AuthenticatedRequest, MaxStaleness, TokenGuard, TRUST } from "./token-guard.ts";

@Controller()
class OrdersController {
  // Reads accept a check that is up to a second old; moving money requires a fully fresh one.
  @Get("orders")
  @MaxStaleness(1000)
  orders(@Req() { claims }: AuthenticatedRequest): { subject: string | undefined } {
    return { subject: claims.sub };
  }

  @Post("transfers")
  @HttpCode(200)
  transfers(@Req() { claims }: AuthenticatedRequest): { subject: string | undefined } {
    return { subject: claims.sub };
  }
}

@Module({
  controllers: [OrdersController],
  providers: [
    { provide: TRUST, useFactory: () => trustFrom(process.env) },
    // Guards every handler of the application, so that none is forgotten.
    { provide: APP_GUARD, useClass: TokenGuard },
  ],
})
export class OrdersModule implements OnApplicationShutdown {
  readonly #trust: Trust;

  constructor(@Inject(TRUST) trust: Trust) {
    this.#trust = trust;
  }

  /** Called when no request is in flight any more. */
  onApplicationShutdown(): void {
    this.#trust.blacklist.close();
  }
}
