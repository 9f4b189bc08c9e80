import { create } from "@bufbuild/protobuf";
import { DurationSchema, TimestampSchema } from "@bufbuild/protobuf/wkt";
import { expect } from "chai";
import fc from "fast-check";
import { type EpochMs, MAX_EPOCH_MS } from "../../src/entry.ts";
import { fromDuration, fromTimestamp, toTimestamp } from "../../src/protobuf/timestamps.ts";

const timestamp = (seconds: bigint, nanos = 0) => create(TimestampSchema, { seconds, nanos });
const duration = (seconds: bigint, nanos = 0) => create(DurationSchema, { seconds, nanos });
const LAST_SECOND = 253_402_300_799n;
const FIRST_SECOND = -62_135_596_800n;

describe("fromTimestamp", () => {
  it("rounds fractions of a millisecond up", () => {
    const nanos = [
      0, 1, 500_000, 999_999, 1_000_000, 1_000_001, 998_999_999, 999_000_000, 999_000_001, 999_999_999,
    ];
    expect(nanos.map((part) => fromTimestamp(timestamp(1n, part)))).to.deep.equal([
      1000, 1001, 1001, 1001, 1001, 1002, 1999, 1999, 2000, 2000,
    ]);
  });

  it("rounds up before 1970 too", () => {
    const times = [timestamp(-1n), timestamp(-1n, 1), timestamp(-1n, 999_999_999)];
    expect(times.map(fromTimestamp)).to.deep.equal([-1000, -999, 0]);
  });

  it("reads the years 1 to 9999", () => {
    const texts = [
      "0001-01-01T00:00:00.000Z",
      "1970-01-01T00:00:00.000Z",
      "2039-07-01T12:00:00.001Z",
      "9999-12-31T23:59:59.999Z",
    ];
    expect(
      texts.map((text) => {
        const ms = BigInt(Date.parse(text));
        const millis = ((ms % 1000n) + 1000n) % 1000n;
        return new Date(
          fromTimestamp(timestamp((ms - millis) / 1000n, Number(millis) * 1_000_000)),
        ).toISOString();
      }),
    ).to.deep.equal(texts);
  });

  it("refuses times after the year 9999, after rounding", () => {
    expect(fromTimestamp(timestamp(LAST_SECOND, 999_000_000))).to.equal(MAX_EPOCH_MS);
    expect(() => fromTimestamp(timestamp(LAST_SECOND, 999_000_001))).to.throw(
      RangeError,
      /^must not lie beyond the year 9999/,
    );
  });

  const INVALID = {
    "a second too late": timestamp(LAST_SECOND + 1n),
    "milliseconds taken for seconds": timestamp(1_893_456_000_000n),
    "a second too early": timestamp(FIRST_SECOND - 1n),
    "negative nanoseconds": timestamp(1n, -1),
    "a whole second of nanoseconds": timestamp(1n, 1_000_000_000),
    "the largest number of seconds": timestamp(2n ** 63n - 1n),
    "the smallest number of seconds": timestamp(-(2n ** 63n)),
  };
  for (const [what, value] of Object.entries(INVALID)) {
    it(`refuses ${what}`, () => {
      expect(() => fromTimestamp(value)).to.throw(
        RangeError,
        "must be a timestamp between the years 1 and 9999",
      );
    });
  }

  it("is the inverse of toTimestamp", () => {
    fc.assert(
      fc.property(fc.integer({ min: Number(FIRST_SECOND) * 1000, max: MAX_EPOCH_MS }), (ms) => {
        const { seconds, nanos } = toTimestamp(ms as EpochMs);
        expect(fromTimestamp(timestamp(seconds, nanos))).to.equal(ms);
      }),
    );
  });
});

describe("toTimestamp", () => {
  it("writes whole seconds and non-negative nanoseconds", () => {
    const times = [0, 1, 1999, -1, -1000, MAX_EPOCH_MS] as EpochMs[];
    expect(times.map(toTimestamp)).to.deep.equal([
      { seconds: 0n, nanos: 0 },
      { seconds: 0n, nanos: 1_000_000 },
      { seconds: 1n, nanos: 999_000_000 },
      { seconds: -1n, nanos: 999_000_000 },
      { seconds: -1n, nanos: 0 },
      { seconds: LAST_SECOND, nanos: 999_000_000 },
    ]);
  });
});

describe("fromDuration", () => {
  it("rounds fractions of a millisecond down", () => {
    const durations = [
      duration(0n),
      duration(0n, 999_999),
      duration(0n, 1_999_999),
      duration(2n, 1_000_000),
      duration(315_576_000_000n),
    ];
    expect(durations.map(fromDuration)).to.deep.equal([0, 0, 1, 2001, 315_576_000_000_000]);
  });

  const INVALID = {
    "negative seconds": duration(-1n),
    "negative nanoseconds": duration(0n, -1),
    "a positive and a negative part": duration(1n, -1),
    "a whole second of nanoseconds": duration(0n, 1_000_000_000),
  };
  for (const [what, value] of Object.entries(INVALID)) {
    it(`refuses ${what}`, () => {
      expect(() => fromDuration(value)).to.throw(RangeError, "must be a duration that is not negative");
    });
  }

  it("refuses more than ten thousand years", () => {
    expect(() => fromDuration(duration(315_576_000_001n))).to.throw(
      RangeError,
      "must be at most 315576000000 s, which are 10,000 years",
    );
  });
});
