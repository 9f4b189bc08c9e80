/** Imports a module of the build rather than of the sources, which tsx would translate differently. `path` is relative to `dist`. */
export async function built<M>(path: string): Promise<M> {
  return (await import(new URL(`../dist/${path}`, import.meta.url).href)) as M;
}
