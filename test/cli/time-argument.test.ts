import { expect } from "chai";
import { UsageError } from "../../src/cli/errors.ts";
import { parseTimeArgument } from "../../src/cli/time-argument.ts";
import type { EpochMs } from "../../src/entry.ts";
import { NOW } from "./run-cli.ts";

const setup = { now: (NOW + 250) as EpochMs, durationsAre: "ahead" } as const;
const NOW_S = BigInt(NOW / 1000);

describe("a time argument", () => {
  const TIMES: Readonly<Record<string, readonly [bigint, number]>> = {
    "2030-01-01T00:00:00Z": [NOW_S, 0],
    "2030-01-01t00:00:00z": [NOW_S, 0],
    "2030-01-01 00:00:00+00:00": [NOW_S, 0],
    "2030-01-01T05:45:00+05:45": [NOW_S, 0],
    "2029-12-31T19:00:00-05:00": [NOW_S, 0],
    "2030-01-01T00:00:00.000000001Z": [NOW_S, 1],
    "2030-01-01T00:00:00.5Z": [NOW_S, 500_000_000],
    "9999-12-31T23:59:59.999Z": [253_402_300_799n, 999_000_000],
    "1893456000": [NOW_S, 0],
    "1893456000.25": [NOW_S, 250_000_000],
    "1h": [NOW_S + 3600n, 250_000_000],
    "1h30m": [NOW_S + 5400n, 250_000_000],
  };
  for (const [text, [seconds, nanos]] of Object.entries(TIMES)) {
    it(`accepts ${text}`, () => expect(parseTimeArgument(text, setup)).to.deep.equal({ seconds, nanos }));
  }

  it("accepts a duration in the past where the command counts back", () => {
    expect(parseTimeArgument("1h", { ...setup, durationsAre: "ago" })).to.deep.equal({
      seconds: NOW_S - 3600n,
      nanos: 250_000_000,
    });
  });

  const WHAT =
    "must be a time such as 2030-01-31T12:00:00Z, epoch seconds such as 1900000000, or a duration such as 1h";
  const WRONG: Readonly<Record<string, string>> = {
    "1893456000000": "looks like milliseconds: use epoch seconds, perhaps 1893456000",
    "3600":
      "is too small for epoch seconds: for a duration add a unit, such as 3600s; for an early time use RFC 3339",
    "2030-02-30T00:00:00Z": "is not an existing date and time",
    "2030-01-01T24:00:00Z": "is not an existing date and time",
    "2030-13-01": "is not an existing date and time",
    "2030-02-30T10:00": "is not an existing date and time",
    "2030-01-01": "has no time and no time zone: in UTC that is 2030-01-01T00:00:00Z",
    "2030-01-01T12:30": "has no time zone: in UTC that is 2030-01-01T12:30:00Z",
    "2030-01-01T00:00:00": "has no time zone: in UTC that is 2030-01-01T00:00:00Z",
    "2030-01-01 00:00:00.5": "has no time zone: in UTC that is 2030-01-01T00:00:00Z",
    "2030-01-01T00:00:00+24:00": WHAT,
    "2030-01-01T00:00:00.0000000001Z": WHAT,
    " 1893456000": WHAT,
    "-1h": "must be without a sign: 1h already means that long from now",
    "+1h": "must be without a sign: 1h already means that long from now",
    "1e9": WHAT,
    tomorrow: WHAT,
    "": WHAT,
  };
  for (const [text, message] of Object.entries(WRONG)) {
    it(`refuses "${text}"`, () => {
      expect(() => parseTimeArgument(text, setup)).to.throw(UsageError, message);
    });
  }

  it("explains a negative duration by the command's direction", () => {
    expect(() => parseTimeArgument("-30m", { ...setup, durationsAre: "ago" })).to.throw(
      UsageError,
      "must be without a sign: 30m already means that long ago",
    );
  });
});
