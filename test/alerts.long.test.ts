import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect } from "chai";
import { describe, it } from "mocha";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
/** Where scripts/install-test-tools.sh unpacks it. */
const UNPACKED = join(ROOT, "node_modules/.cache/prometheus/usr/bin");

function findPromtool(): string | undefined {
  return [UNPACKED, ...(process.env.PATH ?? "").split(delimiter)]
    .map((folder) => join(folder, "promtool"))
    .find((path) => existsSync(path));
}

describe("the alerts, evaluated by Prometheus", () => {
  it("fire under their conditions and are silent otherwise", async function () {
    const promtool = findPromtool();
    if (promtool === undefined) {
      if (this.test !== undefined) this.test.title += " (needs promtool, which is not installed)";
      this.skip();
    }
    const cwd = join(ROOT, "deploy/prometheus");
    const checked = await promisify(execFile)(promtool, ["check", "rules", "alerts.yaml"], { cwd });
    expect(checked.stdout).to.match(/SUCCESS: \d+ rules found/);
    // Rejects with the difference if one of its tests fails.
    await promisify(execFile)(promtool, ["test", "rules", "alerts.test.yaml"], { cwd });
  });
});
