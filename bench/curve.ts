/** What a curve shows, before it is measured. */
export interface CurvePlan {
  /** The quantity that is varied. */
  readonly over: string;
  /** Its values, ascending. */
  readonly at: readonly number[];
  readonly lines: readonly LineName[];
}

export interface LineName {
  readonly name: string;
  readonly unit: string;
}

/** How figures change with one quantity: a table in the report, a plot in the documents. */
export interface Curve extends CurvePlan {
  readonly lines: readonly Line[];
}

export interface Line extends LineName {
  /** One for each value of the quantity; null where there is none. */
  readonly values: readonly (number | null)[];
}

/** More digits than this differ from one run to the next whatever is measured. */
const DIGITS = 4;

/** `points` holds for each value of the quantity one figure for each line. */
export function curveOf(plan: CurvePlan, points: readonly (readonly number[])[]): Curve {
  if (points.length !== plan.at.length || points.some(({ length }) => length !== plan.lines.length)) {
    throw new RangeError("the points are not those that were planned");
  }
  const lines = plan.lines.map((line, index) => ({
    ...line,
    values: points.map((point) => rounded(point[index] as number)),
  }));
  return { over: plan.over, at: plan.at, lines };
}

function rounded(value: number): number | null {
  return Number.isFinite(value) ? Number(value.toPrecision(DIGITS)) : null;
}
