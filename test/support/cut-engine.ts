import type { Engine } from "../../src/store/engine.ts";

type Rows = readonly (readonly unknown[])[];

/** The engine, but what it reads for checks and for tails loses rows on the way: `cut` says which are left. */
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
      // A function with properties of its own.
      if (name === "knex") return target.knex;
      const value = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
