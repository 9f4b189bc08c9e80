import { expect } from "chai";
import type { EpochMs } from "../../src/entry.ts";
import { CertificateWatch } from "../../src/tls/certificate-watch.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { memoryLog } from "../support/memory-log.ts";

const DAY = 86_400_000;

describe("CertificateWatch", () => {
  it("reports an approaching expiry every day, the expiry, and a replacement", () => {
    const clock = new FakeClock();
    const { log, records } = memoryLog();
    const start = clock.now();
    let validity = { notBefore: start, notAfter: (start + 16 * DAY) as EpochMs };
    const watch = new CertificateWatch(
      [{ certificate: "server", setting: "TLS_CERT_FILE", validity: () => validity }],
      { clock, log },
    );
    watch.start();
    const said = () => records().map(({ level, msg, not_after }) => [level, msg, not_after]);
    clock.advance(2 * DAY);
    expect([said(), watch.notes]).to.deep.equal([[], []]);
    clock.advance(3 * DAY);
    const soon = ["warn", "a certificate is about to expire", "2030-01-17T00:00:00Z"];
    expect(said()).to.deep.equal([soon, soon, soon]);
    expect(watch.notes).to.deep.equal(["the certificate of TLS_CERT_FILE expires at 2030-01-17T00:00:00Z"]);
    clock.advance(11.5 * DAY);
    expect(said().at(-1)).to.deep.equal(["error", "a certificate has expired", "2030-01-17T00:00:00Z"]);
    expect(said()).to.have.length(15);
    validity = { notBefore: start, notAfter: (start + 200 * DAY) as EpochMs };
    clock.advance(60_000);
    expect(said().at(-1)).to.deep.equal(["info", "a certificate is valid again", "2030-07-20T00:00:00Z"]);
    expect(watch.notes).to.deep.equal([]);
    watch.stop();
    expect(clock.pendingTimers).to.equal(0);
  });
});
