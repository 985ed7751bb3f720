import exec from 'k6/execution';

/** Which of its scenario's runs this is, from 0: virtual users of several scenarios share one count, `__VU`. */
export const seatNumber = (): number => exec.scenario.iterationInTest;
