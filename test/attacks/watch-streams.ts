import { startMessage, WATCH_PATH } from "../support/watcher.ts";
import { type Extent, type HeldStreams, holdStreams } from "./held-streams.ts";

/** Opens 10,000 Watch streams with the credential of one caller that has the role check, and keeps them open. */
export function watchStreams(
  address: string,
  authorization: string,
  extent: Extent = {},
): Promise<HeldStreams> {
  return holdStreams(address, { authorization, path: WATCH_PATH, message: startMessage() }, extent);
}
