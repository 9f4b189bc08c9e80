import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A temporary folder and the processes in it. Neither outlives the process that created it. */
export interface FolderGuard {
  readonly folder: string;
  /** Starts a program that is killed when this process ends for any reason. */
  spawn(command: string, args: readonly string[], logFile: number): Promise<ChildProcess>;
  /** Kills the remaining processes and removes the folder. */
  remove(): Promise<void>;
}

// Reads `run <pid>` and `ended <pid>` until its input closes, which the kernel ensures even if the test
// process is killed with SIGKILL. The removal is repeated, because a dying process may still be writing.
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

// A program waits for one line before it begins, so that it never runs unguarded.
const WAIT_THEN_RUN = 'read -r go && exec "$@" </dev/null';

export async function guardFolder(name: string): Promise<FolderGuard> {
  const folder = await mkdtemp(join(tmpdir(), `${name}-`));
  // Detached, so that Ctrl-C reaches only the test process, which then decides what to stop.
  const guard = spawn("sh", ["-c", GUARD, "folder-guard", folder], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  const gone = new Promise<void>((resolve) => guard.once("exit", () => resolve()));
  // The exit of a guard says everything.
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
