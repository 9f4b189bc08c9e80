/** How the violation of an expiry begins that has passed. A command tells by it what it may leave out. */
export const ALREADY_PASSED = "must not have passed already";
