import type { Engine } from "../../src/store/engine.ts";

type Rows = readonly (readonly unknown[])[];

/** An engine whose reads for checks and tails lose rows: `cut` returns the remaining ones. */
export function cutEngine(engine: Engine, cut: (rows: Rows) => Rows): Engine {
  return new Proxy(engine, {
    get(target, name) {
      if (name === "select") return async (sql: string) => cut(await target.select(sql));
      if (name === "openReader") {
        return () => {
          const reader = target.openReader();
          return {
            ...reader,
            select: async (...question: Parameters<typeof reader.select>) =>
              cut(await reader.select(...question)),
          };
        };
      }
      // A function with properties.
      if (name === "knex") return target.knex;
      const value = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
