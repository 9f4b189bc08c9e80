import type { status } from "@grpc/grpc-js";

/** A gRPC status by its name, such as `UNAVAILABLE`. */
export type StatusName = keyof typeof status;
