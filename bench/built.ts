/** A module of the build, not of the sources that tsx would translate in its own way. `path` is relative to `dist`. */
export async function built<M>(path: string): Promise<M> {
  return (await import(new URL(`../dist/${path}`, import.meta.url).href)) as M;
}
