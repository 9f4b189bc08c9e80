/** One metric, as parsed from a scrape. */
export interface ScrapedMetric {
  readonly type: string;
  readonly help: string;
  /** The series with their labels; a histogram's include their suffixes. */
  readonly series: readonly {
    readonly name: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly value: number;
  }[];
}

/** The metrics at `/metrics`, by name. */
export async function scrape(adminUrl: string): Promise<Map<string, ScrapedMetric>> {
  const response = await fetch(`${adminUrl}/metrics`);
  return parseMetrics(await response.text());
}

/** Parses the part of Prometheus's text format that the service writes. Throws on any other line. */
export function parseMetrics(text: string): Map<string, ScrapedMetric> {
  const metrics = new Map<string, ScrapedMetric>();
  let current: { type: string; help: string; series: ScrapedMetric["series"][number][] } | undefined;
  let help = "";
  for (const line of text.split("\n").filter((one) => one !== "")) {
    const [, helped] = /^# HELP \w+ (.+)$/.exec(line) ?? [];
    const [, named, type] = /^# TYPE (\w+) (\w+)$/.exec(line) ?? [];
    const [, name, labels = "", value] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    if (helped !== undefined) help = helped;
    else if (named !== undefined && type !== undefined) {
      current = { type, help, series: [] };
      metrics.set(named, current);
    } else if (name !== undefined && current !== undefined) {
      current.series.push({
        name,
        labels: labelsOf(labels),
        value: Number(value?.replace("Inf", "Infinity")),
      });
    } else throw new Error(`not understood: ${line}`);
  }
  return metrics;
}

function labelsOf(text: string): Record<string, string> {
  return Object.fromEntries(
    [...text.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, name = "", value = ""]) => [name, value]),
  );
}
