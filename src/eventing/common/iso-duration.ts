/**
 * Durations as Knative's delivery options have them: ISO 8601 ("PT0.2S", "P1DT2H"). Years and months are those of upstream's period library on average: 365.2425 days, and a twelfth of it.
 */

const form =
  /^([+-]?)P(?:([+-]?[\d.,]+)Y)?(?:([+-]?[\d.,]+)M)?(?:([+-]?[\d.,]+)W)?(?:([+-]?[\d.,]+)D)?(?:T(?:([+-]?[\d.,]+)H)?(?:([+-]?[\d.,]+)M)?(?:([+-]?[\d.,]+)S)?)?$/;
const dayMs = 86_400_000;
const yearMs = 365.2425 * dayMs;
const unitsMs = [yearMs, yearMs / 12, 7 * dayMs, dayMs, 3_600_000, 60_000, 1000];

/** Milliseconds, or undefined for a text that is no such duration. */
export function findIsoDurationMs(text: string): number | undefined {
  if (text === "P0" || text === "0") return 0;
  const match = form.exec(text);
  if (match === null || text.endsWith("P") || text.endsWith("T")) return undefined;
  const [, sign, ...amounts] = match;
  let ms = 0;
  for (const [index, amount] of amounts.entries()) {
    if (amount === undefined) continue;
    const value = Number(amount.replace(",", "."));
    if (!Number.isFinite(value)) return undefined;
    ms += value * (unitsMs[index] ?? 0);
  }
  return (sign === "-" ? -1 : 1) * Math.round(ms);
}
