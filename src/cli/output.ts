import type { Screen } from "./io.ts";

/** Standard output. Its reader may close it early (`| head`); later output is then dropped silently. */
export class Output {
  readonly isTerminal: boolean;
  readonly #stream: Screen;
  #closed = false;

  constructor(stream: Screen) {
    this.#stream = stream;
    this.isTerminal = stream.isTTY === true;
  }

  /** The reader has closed the output. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Resolves when `text` has been written to the stream, so that a slow reader slows the command down. */
  write(text: string): Promise<void> {
    if (this.#closed || text === "") return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#stream.write(text, (error) => {
        if (error && (error as NodeJS.ErrnoException).code !== "EPIPE") return reject(error);
        this.#closed = error != null;
        resolve();
      });
    });
  }
}
