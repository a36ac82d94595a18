/**
 * What happens when the user or the system interrupts a command that changes a cluster.
 */

const exitCodes = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

/** Does the work. An interrupt has the last word: what it says or does ends this process. */
export async function whenInterrupted<T>(onInterrupt: () => void | Promise<void>, work: () => Promise<T>): Promise<T> {
  const { promise: interrupted, resolve: interrupt } = Promise.withResolvers<keyof typeof exitCodes>();
  const signals = Object.keys(exitCodes) as (keyof typeof exitCodes)[];
  for (const signal of signals) process.once(signal, interrupt);
  let isOver = false;
  const working = work().finally(() => (isOver = true));
  working.catch(() => {}); // what it comes to matters only when it is not interrupted
  try {
    const signal = await Promise.race([interrupted, working.then(() => undefined)]);
    if (signal === undefined || isOver) return await working;
    await onInterrupt();
    return process.exit(exitCodes[signal]);
  } finally {
    for (const signal of signals) process.off(signal, interrupt);
  }
}
