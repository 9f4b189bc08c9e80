/** The name of the hash of `Fingerprinter`, as sent to local copies. Another algorithm needs another name. */
export const HASH = "chaskey12-uuid-1";
