import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A temporary folder and the processes that live in it. Neither outlives the process that made it. */
export interface FolderGuard {
  readonly folder: string;
  /** Starts a program that is killed when this process ends, however it ends. */
  spawn(command: string, args: readonly string[], logFile: number): Promise<ChildProcess>;
  /** Kills what still runs and removes the folder. */
  remove(): Promise<void>;
}

// Reads `run <pid>` and `ended <pid>` until its input closes, which the kernel does for us even when the test
// process is killed with -9. The removal is repeated after a kill: the dying process may still be writing.
const GUARD = `
folder=$1 running=
while read -r event pid; do
  case $event in
    run) running="$running $pid" ;;
    ended) left=; for p in $running; do [ "$p" = "$pid" ] || left="$left $p"; done; running=$left ;;
  esac
done
for p in $running; do kill -9 "$p"; done
rm -rf "$folder"
[ -z "$running" ] || for pause in 0.1 0.5 2; do sleep "$pause"; rm -rf "$folder"; done
`;

// A program waits for one line before it begins, so there is no moment at which it runs unguarded.
const WAIT_THEN_RUN = 'read -r go && exec "$@" </dev/null';

export async function guardFolder(name: string): Promise<FolderGuard> {
  const folder = await mkdtemp(join(tmpdir(), `${name}-`));
  // Detached: a Ctrl+C in the terminal reaches the test process only, which then decides what to stop.
  const guard = spawn("sh", ["-c", GUARD, "folder-guard", folder], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  const gone = new Promise<void>((resolve) => guard.once("exit", () => resolve()));
  // A guard that died has nothing to tell us that its exit does not.
  guard.stdin.on("error", () => {});
  const tell = (line: string) => new Promise<void>((resolve) => guard.stdin.write(line, () => resolve()));

  return {
    folder,
    async spawn(command, args, logFile) {
      const child = spawn("sh", ["-c", WAIT_THEN_RUN, "guarded", command, ...args], {
        detached: true,
        cwd: folder,
        stdio: ["pipe", logFile, logFile],
      });
      child.stdin?.on("error", () => {});
      child.once("exit", () => void tell(`ended ${child.pid}\n`));
      await tell(`run ${child.pid}\n`);
      child.stdin?.end("go\n");
      return child;
    },
    async remove() {
      guard.stdin.end();
      await gone;
    },
  };
}
