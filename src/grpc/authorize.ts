import { ServiceError } from "../errors.ts";
import type { Principal, Role } from "../principal.ts";

/** Throws PERMISSION_DENIED unless the caller has the role. */
export function authorize({ roles }: Principal, role: Role): void {
  if (roles.has(role)) return;
  throw new ServiceError("PERMISSION_DENIED", `the caller does not have the role ${role}`);
}
