/**
 * The bounds of a process that many pods share: the sum of theirs, and none where one of them has none. What is asked for adds up in any case.
 */
import type { LinuxResources } from "#kubelet/container-runtime.ts";

const periodMicroseconds = 100_000;
/** As the kernel's least. */
const leastShares = 2;
/** How much more than it has a process keeps while its bound sinks. */
const roomToSink = 1.25;
/** No bound. */
const unlimited = -1;

/**
 * What a pod that has gone leaves behind is given back late: a bound on memory that sinks does not sink below what the process has now (`usedBytes`), or its other pods would die of it.
 */
export function limitsOfAll(
  all: readonly LinuxResources[],
  { usedBytes, boundBytes = Infinity }: { readonly usedBytes: number; readonly boundBytes?: number | undefined },
): LinuxResources {
  const memory = sumOfAll(all.map(({ memoryLimitBytes }) => memoryLimitBytes));
  const quota = sumOfAll(all.map(quotaPerPeriod));
  const shares = all.reduce((sum, { cpuShares }) => sum + (cpuShares ?? leastShares), 0);
  return {
    cpuShares: Math.max(leastShares, shares),
    cpuPeriodMicroseconds: periodMicroseconds,
    cpuQuotaMicroseconds: quota ?? unlimited,
    memoryLimitBytes:
      memory === undefined ? unlimited : Math.max(memory, Math.min(boundBytes, Math.ceil(usedBytes * roomToSink))),
  };
}

function quotaPerPeriod({
  cpuQuotaMicroseconds,
  cpuPeriodMicroseconds = periodMicroseconds,
}: LinuxResources): number | undefined {
  if (cpuQuotaMicroseconds === undefined || cpuQuotaMicroseconds <= 0) return undefined;
  return Math.ceil((cpuQuotaMicroseconds * periodMicroseconds) / cpuPeriodMicroseconds);
}

function sumOfAll(values: readonly (number | undefined)[]): number | undefined {
  if (values.length === 0) return undefined;
  let sum = 0;
  for (const value of values) {
    if (value === undefined || value <= 0) return undefined;
    sum += value;
  }
  return sum;
}
