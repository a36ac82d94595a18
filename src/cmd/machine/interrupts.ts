/**
 * What happens when the user or the system interrupts a command that changes a cluster.
 */

const exitCodes = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

/** Does the work; on an interrupt says what goes on without this command, and ends it. */
export async function sayingWhenInterrupted<T>(say: () => void, work: () => Promise<T>): Promise<T> {
  const end = (signal: keyof typeof exitCodes) => {
    say();
    process.exit(exitCodes[signal]);
  };
  const signals = Object.keys(exitCodes) as (keyof typeof exitCodes)[];
  for (const signal of signals) process.once(signal, end);
  try {
    return await work();
  } finally {
    for (const signal of signals) process.off(signal, end);
  }
}
