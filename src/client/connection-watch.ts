import { type Client, connectivityState } from "@grpc/grpc-js";

/** Connects, stays connected, and tells of each change until the channel is closed. Keeps no process alive. */
export function watchConnection(grpc: Client, onChange: (isConnected: boolean) => void): void {
  const channel = grpc.getChannel();
  const { READY, TRANSIENT_FAILURE, SHUTDOWN } = connectivityState;
  const next = () => {
    // Asking connects, also a channel that has just been closed: nobody would ever close that connection.
    if (channel.getConnectivityState(false) === SHUTDOWN) return;
    // The connection may have been let go for want of calls.
    const current = channel.getConnectivityState(true);
    if (current === READY || current === TRANSIENT_FAILURE) onChange(current === READY);
    channel.watchConnectivityState(current, Number.POSITIVE_INFINITY, next);
  };
  next();
}
