/**
 * Signal names as images and pods write them: "SIGTERM", "TERM", "15", "SIGRTMIN+3".
 */
import { constants } from "node:os";

const firstRealTime = 34;
const lastRealTime = 64;

/** The signal's number; SIGTERM for what is not known. */
export function signalNumber(name: string | undefined): number {
  const text = (name ?? "").trim().toUpperCase().replace(/^SIG/, "");
  if (/^\d+$/.test(text)) return Number(text);
  const realTime = /^RT(MIN|MAX)(?:([+-])(\d+))?$/.exec(text);
  if (realTime) {
    const base = realTime[1] === "MIN" ? firstRealTime : lastRealTime;
    return base + Number(`${realTime[2] ?? "+"}${realTime[3] ?? 0}`);
  }
  const known = constants.signals as Readonly<Record<string, number>>;
  return known[`SIG${text}`] ?? constants.signals.SIGTERM;
}
