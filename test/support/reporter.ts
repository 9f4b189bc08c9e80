import Mocha from "mocha";

/** Mocha's spec report, followed by one line for scripts: `12 passed, 0 failed, 1 skipped`. */
export default class Reporter extends Mocha.reporters.Spec {
  // The counts are only known now; nothing is printed after the epilogue.
  override epilogue(): void {
    super.epilogue();
    const { passes, failures, pending } = this.stats;
    const skipped = pending > 0 ? `, ${pending} skipped` : "";
    Mocha.reporters.Base.consoleLog(`${passes} passed, ${failures} failed${skipped}`);
  }
}
