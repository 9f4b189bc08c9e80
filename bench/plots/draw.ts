import { LineChart } from "echarts/charts";
import { GridComponent, LegendComponent } from "echarts/components";
import { init, use } from "echarts/core";
import { SVGRenderer } from "echarts/renderers";
import type { Figure, Panel } from "./figure.ts";

use([LineChart, GridComponent, LegendComponent, SVGRenderer]);

const WIDTH = 860;
const HEIGHT = 340;
const GAP = 90;
const LEFT = 64;
const RIGHT = 24;

/** The background, and its replacement for dark screens. */
const PAPER = { light: "#ffffff", dark: "#0d1117" };
const INK = { light: "#1f2328", dark: "#e6edf3" };
const RULE = { light: "#d0d7de", dark: "#3d444d" };
/** Visible on both backgrounds, and distinguished by their marks as well. */
const SERIES = ["#3b7dd8", "#d9593d", "#2a9d5c", "#9a6ddb"];
const MARKS = ["circle", "rect", "triangle", "diamond"];

/** The figure as SVG; the same figure gives the same bytes. */
export function draw({ title, panels }: Figure): string {
  const width = (WIDTH - LEFT - RIGHT - GAP * (panels.length - 1)) / panels.length;
  const lefts = panels.map((_, index) => LEFT + index * (width + GAP));
  const chart = init(null, null, { renderer: "svg", ssr: true, width: WIDTH, height: HEIGHT });
  chart.setOption({
    animation: false,
    backgroundColor: PAPER.light,
    textStyle: { fontFamily: "sans-serif", color: INK.light },
    grid: lefts.map((left) => ({ left, width, top: 64, bottom: 52 })),
    legend: panels.map(({ lines }, panel) => ({
      left: lefts[panel],
      top: 8,
      itemWidth: 18,
      // The width of the font is estimated.
      itemGap: 24,
      data: lines.map(({ label }) => seriesName(panel, label)),
      formatter: (name: string) => name.slice(name.indexOf(" ") + 1),
      textStyle: { color: INK.light },
    })),
    xAxis: panels.map(({ x }, gridIndex) => ({
      gridIndex,
      type: "category",
      data: x.at.map(short),
      name: x.label,
      nameLocation: "middle",
      nameGap: 30,
      ...axisColours(),
    })),
    yAxis: panels.map(({ y }, gridIndex) => ({
      gridIndex,
      type: y.scale === "log" ? "log" : "value",
      name: y.label,
      nameLocation: "end",
      nameGap: 10,
      ...axisColours(),
      nameTextStyle: { color: INK.light, align: "left", padding: [0, 0, 0, 8 - LEFT] },
      axisLabel: { color: INK.light, formatter: short },
      splitLine: { lineStyle: { color: RULE.light } },
    })),
    series: panels.flatMap(seriesOf),
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return finished(svg, title);
}

/** Legends identify lines by name only, so each panel has its own names. */
function seriesName(panel: number, label: string): string {
  return `${panel} ${label}`;
}

function axisColours() {
  return {
    nameTextStyle: { color: INK.light },
    axisLabel: { color: INK.light },
    axisLine: { lineStyle: { color: INK.light } },
  };
}

function seriesOf({ lines }: Panel, panel: number) {
  return lines.map(({ label, values }, index) => ({
    name: seriesName(panel, label),
    type: "line" as const,
    xAxisIndex: panel,
    yAxisIndex: panel,
    data: values.map((value) => (value !== null && Number.isFinite(value) ? value : "-")),
    silent: true,
    symbol: MARKS[index % MARKS.length] as string,
    symbolSize: 8,
    color: SERIES[index % SERIES.length] as string,
    itemStyle: { color: SERIES[index % SERIES.length] as string },
  }));
}

function short(value: number): string {
  if (value >= 1e6) return `${value / 1e6}M`;
  return value >= 10_000 ? `${value / 1000}k` : value.toLocaleString("en");
}

/** Removes what only a browser's pointer would use, renames what would count charts, and adds the colours for dark screens. */
function finished(svg: string, title: string): string {
  const dark = [PAPER, INK, RULE].flatMap(({ light, dark }) => [
    `[fill="${light}"]{fill:${dark}}`,
    `[stroke="${light}"]{stroke:${dark}}`,
  ]);
  const head = `<title>${title}</title>\n<style>@media (prefers-color-scheme:dark){${dark.join("")}}</style>\n`;
  const bare = svg
    .replace(/<style >.*?<\/style>\n?/gs, "")
    .replace(/ (?:ecmeta_\w+|class|pointer-events)="[^"]*"/g, "")
    .replace(/zr\d+-/g, "")
    .replace(/^(<svg [^>]*)>\n/, `$1 role="img">\n${head}`);
  return `${bare.trimEnd()}\n`;
}
