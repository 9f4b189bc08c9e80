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
  // Reading may rely on what was true a second ago; what moves money may not.
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
    // Every handler of the application is guarded, so that none is forgotten.
    { provide: APP_GUARD, useClass: TokenGuard },
  ],
})
export class OrdersModule implements OnApplicationShutdown {
  readonly #trust: Trust;

  constructor(@Inject(TRUST) trust: Trust) {
    this.#trust = trust;
  }

  /** Called when no request is under way any more. */
  onApplicationShutdown(): void {
    this.#trust.blacklist.close();
  }
}
