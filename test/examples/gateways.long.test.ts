import { readdirSync } from "node:fs";
import { conforms } from "./conformance.ts";
import { EXAMPLES } from "./installed.ts";

// Every folder is a gateway, so none is forgotten.
const entries = readdirSync(EXAMPLES, { withFileTypes: true });
for (const { name } of entries.filter((entry) => entry.isDirectory() && entry.name !== "node_modules")) {
  conforms(name, "newest");
  conforms(name, "oldest");
}
