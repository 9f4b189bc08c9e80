import "reflect-metadata";
import { NestFactory } from "@nestjs/core";
import { OrdersModule } from "./orders-module.ts";

const app = await NestFactory.create(OrdersModule, { logger: ["warn", "error"] });
await app.listen(Number(process.env.PORT ?? 8080), "127.0.0.1");
console.log(`listening on ${await app.getUrl()}`);

process.once("SIGTERM", () => void app.close());
