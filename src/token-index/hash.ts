/** The name of what `Fingerprinter` computes, as those who keep copies know it. Another computation needs another name. */
export const HASH = "chaskey12-uuid-1";
