import Mocha from "mocha";

/** Mocha's own report, closed by one plain line that a script can read: `12 passed, 0 failed, 1 skipped`. */
export default class Reporter extends Mocha.reporters.Spec {
  // The counts are known only now; stats.end has been set, and nothing is printed after the epilogue.
  override epilogue(): void {
    super.epilogue();
    const { passes, failures, pending } = this.stats;
    const skipped = pending > 0 ? `, ${pending} skipped` : "";
    Mocha.reporters.Base.consoleLog(`${passes} passed, ${failures} failed${skipped}`);
  }
}
