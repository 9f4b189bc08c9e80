import type { status } from "@grpc/grpc-js";

/** The name of a gRPC status, such as `UNAVAILABLE`. */
export type StatusName = keyof typeof status;
