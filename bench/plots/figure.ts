/** One picture: panels beside each other, each with axes of its own. */
export interface Figure {
  /** Without an extension. */
  readonly file: string;
  /** What it shows, for who cannot see it. */
  readonly title: string;
  readonly panels: readonly Panel[];
}

export interface Panel {
  readonly x: { readonly label: string; readonly at: readonly number[] };
  readonly y: { readonly label: string; readonly scale: "log" | "linear" };
  readonly lines: readonly PanelLine[];
}

export interface PanelLine {
  readonly label: string;
  /** One for each value of `x`; where there is none, the line has a gap. */
  readonly values: readonly (number | null)[];
}
