import { backends } from "../support/backends.ts";
import { describeStore } from "./contract.ts";

for (const backend of backends) describeStore(backend);
