/** The axes and lines of a curve, before it is measured. */
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

/** Figures as a function of one quantity: a table in the report, a plot in the documents. */
export interface Curve extends CurvePlan {
  readonly lines: readonly Line[];
}

export interface Line extends LineName {
  /** One per value of the quantity; null if there is none. */
  readonly values: readonly (number | null)[];
}

/** Further digits vary from run to run in every measurement. */
const DIGITS = 4;

/** `points` has, for each value of the quantity, one figure per line. */
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
