import { type Client, connectivityState } from "@grpc/grpc-js";

/** Connects, reconnects, and reports each change until the channel is closed. Does not keep the process alive. */
export function watchConnection(grpc: Client, onChange: (isConnected: boolean) => void): void {
  const channel = grpc.getChannel();
  const { READY, TRANSIENT_FAILURE, SHUTDOWN } = connectivityState;
  const next = () => {
    // Requesting a connection would also reconnect a channel that has just been closed, and that connection would never be closed.
    if (channel.getConnectivityState(false) === SHUTDOWN) return;
    // grpc-js may have closed an idle connection; this call reconnects.
    const current = channel.getConnectivityState(true);
    if (current === READY || current === TRANSIENT_FAILURE) onChange(current === READY);
    channel.watchConnectivityState(current, Number.POSITIVE_INFINITY, next);
  };
  next();
}
