import type { PeerCertificate } from "node:tls";
import type { DescMessage } from "@bufbuild/protobuf";
import type { Admission } from "../admission/admission.ts";
import type { Authenticator, Credentials } from "../auth/authenticator.ts";
import type { CallerValidity } from "../auth/caller-validity.ts";
import type { KnownCaller, Principal, Role } from "../caller.ts";
import type { Connections } from "../connections/connections.ts";
import { ServiceError } from "../errors.ts";
import { Call, type CalledMethod } from "./call.ts";

/** A method whose callers are authenticated. */
export interface AuthenticatedMethod extends CalledMethod {
  readonly input: DescMessage;
  readonly output: DescMessage;
  readonly role: Role;
  readonly authenticate: Authenticator;
  /** Rejects if the caller's own token is blacklisted. Called before the handler; undefined if the handler looks the token up. */
  readonly checkOwnToken: ((caller: KnownCaller) => Promise<void>) | undefined;
  /** Knows whether an earlier result of `authenticate` is still valid. */
  readonly callerValidity: CallerValidity;
  readonly admission: Admission;
  /** Is told the name of each authenticated caller that has a role. */
  readonly connections: Pick<Connections, "authenticated">;
}

/** A call that is refused unless its caller is authenticated and has the role that the method requires. */
export abstract class AuthenticatedCall<M extends AuthenticatedMethod = AuthenticatedMethod>
  extends Call<M>
  implements Credentials
{
  /** The version of {@link CallerValidity} at which the caller was authenticated. */
  #validityVersion = 0;
  /** See {@link Credentials}. True only while {@link reauthenticate} calls the authenticator. */
  isReauthentication = false;

  abstract get authorization(): readonly unknown[];

  abstract certificate(): PeerCertificate | undefined;

  /** Continues the call of a caller that is authenticated and has the role. */
  protected abstract proceed(): void;

  /** Ends the call with an error. No effect if it has ended. */
  abstract fail(error: unknown): void;

  /** Counts the call among those of `caller`. Throws OVERLOADED if the caller has too many calls. No effect if the call has already been counted. */
  protected abstract attributeTo(caller: string): void;

  /**
   * Authenticates the caller. Returns or resolves to false if the call has been refused or has ended. The call must not be continued then.
   */
  protected authenticate(): boolean | Promise<boolean> {
    const { authenticate, callerValidity } = this.method;
    // Read before the authentication: a change in the meantime makes the result outdated.
    this.#validityVersion = callerValidity.version;
    let principal: Principal | Promise<Principal>;
    try {
      principal = authenticate(this);
    } catch (error) {
      return this.#refuse(error);
    }
    if (!(principal instanceof Promise)) return this.#admit(principal);
    return principal.then(
      (known) => this.#admit(known),
      (error) => this.#refuse(error),
    );
  }

  /** Authenticates the caller, then calls {@link proceed} unless the call has been refused or has ended. */
  protected authenticateAndProceed(): void {
    const isAdmitted = this.authenticate();
    if (isAdmitted instanceof Promise) {
      void isAdmitted.then((admitted) => {
        if (admitted) this.proceed();
      });
    } else if (isAdmitted === true) this.proceed();
  }

  /** Whether the result of the last authentication is certainly still valid. */
  protected get isAuthenticated(): boolean {
    return this.method.callerValidity.holds(this.principal, this.#validityVersion);
  }

  /** Ends the call if its caller would no longer be admitted, since keys, roles or authorities have changed. */
  reauthenticate(): void {
    if (this.isGone || this.#validityVersion === this.method.callerValidity.version) return;
    this.isReauthentication = true;
    void this.authenticate();
    this.isReauthentication = false;
  }

  #admit(principal: Principal): boolean {
    const { connections, role } = this.method;
    this.principal = principal;
    // A caller without roles does not make the connection an authenticated one: it may be any certificate, even one without a name.
    if (principal.roles.size > 0) connections.authenticated(this, principal.name);
    if (this.isGone) return false;
    try {
      if (!principal.roles.has(role)) {
        throw new ServiceError("PERMISSION_DENIED", `the caller does not have the role ${role}`);
      }
      this.attributeTo(principal.name);
    } catch (error) {
      return this.#refuse(error);
    }
    return true;
  }

  #refuse(error: unknown): false {
    this.fail(error);
    return false;
  }
}
