import { readdirSync } from "node:fs";
import { conforms } from "./conformance.ts";

// Every folder is a gateway, so none is forgotten.
const entries = readdirSync(new URL("../../examples", import.meta.url), { withFileTypes: true });
for (const { name } of entries.filter((entry) => entry.isDirectory())) conforms(name);
