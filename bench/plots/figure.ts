/** One picture: panels side by side, each with its own axes. */
export interface Figure {
  /** Without an extension. */
  readonly file: string;
  /** A text description for readers who cannot see the picture. */
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
  /** One per value of `x`; null is a gap in the line. */
  readonly values: readonly (number | null)[];
}
